"""URLs that lead, or seem to lead, where the job must not go; and what the name server says to them."""

from __future__ import annotations

from urllib.parse import quote

from hostile.case import Case, case
from hostile.traps import BAIT

HOST = "bait.test"
_LOOPBACK = ("127.0.0.1",)

ANSWERS: dict[str, list[list[str]]] = {
    "www.bait.test": [[BAIT]],
    "loopback.bait.test": [["127.0.0.1"]],
    "loopback2.bait.test": [["127.0.0.2"]],
    "six.bait.test": [["::1"]],
    "both.bait.test": [[BAIT, "127.0.0.1"]],
    "both-six.bait.test": [["::1", BAIT]],
    "unspecified.bait.test": [["0.0.0.0"]],
    "unspecified-six.bait.test": [["::"]],
    "private.bait.test": [["10.0.0.1"]],
    "private-172.bait.test": [["172.16.0.1"]],
    "private-192.bait.test": [["192.168.0.1"]],
    "shared.bait.test": [["100.64.0.1"]],
    "metadata.bait.test": [["169.254.169.254"]],
    "metadata-azure.bait.test": [["168.63.129.16"]],
    "metadata-oracle.bait.test": [["192.0.0.192"]],
    "metadata-alibaba.bait.test": [["100.100.100.200"]],
    "metadata-six.bait.test": [["fd00:ec2::254"]],
    "link-local.bait.test": [["fe80::1"]],
    "site-local.bait.test": [["fec0::1"]],
    "multicast.bait.test": [["224.0.0.1"]],
    "multicast-six.bait.test": [["ff02::1"]],
    "broadcast.bait.test": [["255.255.255.255"]],
    "mapped.bait.test": [["::ffff:127.0.0.1"]],
    "compatible.bait.test": [["::127.0.0.1"]],
    "nat64.bait.test": [["64:ff9b::7f00:1"]],
    "nat64-local.bait.test": [["64:ff9b:1::7f00:1"]],
    "6to4.bait.test": [["2002:7f00:1::"]],
    "teredo.bait.test": [["2001:0:808:808:0:0:80ff:fffe"]],
    "isatap.bait.test": [["2606:4700::5efe:7f00:1"]],
    "documentation.bait.test": [["192.0.2.1"]],
    # a second answer that is another: the first is looked at, and only the first may be called
    **{f"rebind{i}.bait.test": [[BAIT], ["127.0.0.1"]] for i in range(4)},
    "rebind-back.bait.test": [["127.0.0.1"], [BAIT]],
    "silent.bait.test": [],
    "xn--bcher-kva.bait.test": [["127.0.0.1"]],
}


def listed(bait_port: int, forbidden_port: int) -> list[str]:
    """`media.hosts` of the job: so wide that the addresses are what has to be looked at."""
    names = ["*.bait.test", "127.0.0.1", "[::1]", "localhost", "2130706433", "169.254.169.254", "localtest.test"]
    return [f"{name}:{port}" for name in names for port in (bait_port, forbidden_port)] + ["*.bait.test"]


def cases(bait_port: int, forbidden_port: int, paths: list[str]) -> list[Case]:
    """Literal addresses, names, redirects, tricks of spelling, and all that the bait does."""
    trap = forbidden_port
    bait = f"www.bait.test:{bait_port}"
    urls = {
        f"name-{name.partition('.')[0]}": f"http://{name}:{trap}/a.jpg" for name in sorted(ANSWERS) if name[0] != "w"
    }
    urls |= {f"answer-{path}": f"http://{bait}/{path}" for path in paths}
    urls |= {f"literal-{name}": f"http://{host}:{trap}/a.jpg" for name, host in _literals().items()}
    urls |= {
        f"to-{name}": f"http://{bait}/to/{quote(f'http://{host}:{trap}/x', safe='')}"
        for name, host in {
            "loopback": "127.0.0.1",
            "decimal": "2130706433",
            "six": "[::1]",
            "name": "loopback.bait.test",
            "metadata": "169.254.169.254",
            "unlisted": "evil.test",
            "user": "www.bait.test@127.0.0.1",
        }.items()
    }
    urls |= {f"rebind-{i}": f"http://rebind{i}.bait.test:{bait_port}/{path}" for i, path in _rebindings().items()}
    urls |= {
        "to-file": f"http://{bait}/to/{quote('file:///etc/passwd', safe='')}",
        "to-gopher": f"http://{bait}/to/{quote(f'gopher://127.0.0.1:{trap}/_x', safe='')}",
        "to-scheme-relative": f"http://{bait}/to/{quote(f'//127.0.0.1:{trap}/', safe='')}",
        "to-data": f"http://{bait}/to/data%3Aimage/png;base64,AAAA",
        "to-line-break": f"http://{bait}/to/%0d%0aX: y",
        "to-port-zero": f"http://{bait}/to/{quote('http://www.bait.test:0/', safe='')}",
        "around-for-ever": f"http://{bait}/around/0",
        "user": f"http://www.bait.test:{bait_port}@127.0.0.1:{trap}/",
        "user-empty": f"http://@127.0.0.1:{trap}/",
        "user-listed": f"http://127.0.0.1:{trap}@www.bait.test:{bait_port}/",
        "backslash": f"http://127.0.0.1:{trap}\\@www.bait.test:{bait_port}/",
        "fragment": f"http://127.0.0.1:{trap}#@www.bait.test:{bait_port}/",
        "query": f"http://127.0.0.1:{trap}?@www.bait.test:{bait_port}/",
        "two-ports": f"http://www.bait.test:{bait_port}:{trap}/",
        "port-large": "http://www.bait.test:99999/",
        "port-other": "http://www.bait.test:22/",
        "no-host": "http:///etc/passwd",
        "no-slashes": "http:etc/passwd",
        "tab": f"http://127.0.0.1\t:{trap}/",
        "space": f"http://127.0.0.1 :{trap}/",
        "wide-slash": f"http://www.bait.test\uff0f@127.0.0.1:{trap}/",
        "long": f"http://{bait}/" + "a" * 4000,
        "long-label": "http://" + "a" * 300 + ".bait.test/",
        "scheme-ftp": f"ftp://127.0.0.1:{trap}/a.jpg",
        "scheme-gopher": f"gopher://127.0.0.1:{trap}/_x",
        "scheme-dict": f"dict://127.0.0.1:{trap}/x",
        "scheme-ldap": f"ldap://127.0.0.1:{trap}/x",
        "scheme-s3": "s3://bucket/key.jpg",
        "scheme-data": "data:image/png;base64,AAAA",
        "scheme-jar": f"jar:http://127.0.0.1:{trap}/a.jar!/x",
        "scheme-javascript": "javascript:alert(1)",
        "scheme-rtmp": f"rtmp://127.0.0.1:{trap}/live",
        "unknown-name": "http://nowhere.bait.test/a.jpg",
        "certificate": f"https://{bait}/empty",
    }
    return [case("url", name, "video" if name == "scheme-rtmp" else "image", url) for name, url in urls.items()]


def _literals() -> dict[str, str]:
    return {
        "loopback": "127.0.0.1",
        "short": "127.1",
        "decimal": "2130706433",
        "hexadecimal": "0x7f000001",
        "hexadecimal-dotted": "0x7f.0x0.0x0.0x1",
        "octal": "017700000001",
        "octal-dotted": "0177.0.0.01",
        "zero": "0",
        "unspecified": "0.0.0.0",
        "six": "[::1]",
        "six-mapped": "[::ffff:127.0.0.1]",
        "six-mapped-hex": "[::ffff:7f00:1]",
        "six-compatible": "[::127.0.0.1]",
        "six-nat64": "[64:ff9b::7f00:1]",
        "six-unspecified": "[::]",
        "six-zone": "[fe80::1%25lo]",
        "name": "localhost",
        "name-dot": "localhost.",
        "name-sub": "a.localhost",
        "name-wide": "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
        "circled": "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
        "ideographic-stops": "127\u30020\u30020\u30021",
        "metadata": "169.254.169.254",
        "metadata-decimal": "2852039166",
        "overflow": "4294967297",
    }


def _rebindings() -> dict[int, str]:
    """First answers: a page that is no picture, a failure that is tried again, a redirect to itself, a hang-up."""
    return {0: "html", 1: "broken", 2: "around/0", 3: "hang-up"}
