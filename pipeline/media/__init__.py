"""Media access and decoding: who may be read, how it is fetched, and the child process in which it is decoded."""
