"""The plug-ins that come with sosie."""
