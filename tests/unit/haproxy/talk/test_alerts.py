"""HAProxy's messages, as 2.8 and 3.0 write them."""

from __future__ import annotations

import pytest

from router.haproxy.talk.alerts import BindFailure, Diagnostic, bind_failures, diagnostics


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        pytest.param(
            "[ALERT]    (9187) : config : parsing [/s/haproxy.cfg.candidate:9] : unknown keyword 'bindd' in 'frontend'"
            " section; did you mean 'bind' maybe ?\n",
            Diagnostic("alert", 9, "unknown keyword 'bindd' in 'frontend' section; did you mean 'bind' maybe ?"),
            id="unknown keyword",
        ),
        pytest.param(
            "[ALERT]    (1) : config : Parsing [c.cfg:13]: frontend 'a' has the same name as frontend 'a' declared at"
            " c.cfg:8.\n",
            Diagnostic("alert", 13, "frontend 'a' has the same name as frontend 'a' declared at c.cfg:8."),
            id="capital, no space",
        ),
        pytest.param(
            "[ALERT]    (1) : config : [c.cfg:13] : 'server b/x' : invalid port '99999'\n",
            Diagnostic("alert", 13, "'server b/x' : invalid port '99999'"),
            id="place without parsing",
        ),
        pytest.param(
            "[ALERT]    (1) : config : Proxy 'a': unable to find required default_backend: 'zz'.\n",
            Diagnostic("alert", None, "Proxy 'a': unable to find required default_backend: 'zz'."),
            id="no place",
        ),
        pytest.param(
            "[ALERT]    (1) : config : parsing [c.cfg:9]: unmatched quote at position 24:\n"
            '  bind 127.0.0.1:17001 "abc\n'
            "                       ^\n",
            Diagnostic(
                "alert",
                9,
                'unmatched quote at position 24:\n  bind 127.0.0.1:17001 "abc\n                       ^',
            ),
            id="several lines",
        ),
        pytest.param(
            "[WARNING]  (9201) : config : missing timeouts for frontend 'a'.\n"
            "   | While not properly invalid, you will certainly encounter various problems\n",
            Diagnostic(
                "warning",
                None,
                "missing timeouts for frontend 'a'.\n"
                "   | While not properly invalid, you will certainly encounter various problems",
            ),
            id="warning with bars",
        ),
        pytest.param(
            "[ALERT]    (1) : config : Cannot open configuration file/directory /nonexist.cfg : No such file or directory\n",
            Diagnostic(
                "alert", None, "Cannot open configuration file/directory /nonexist.cfg : No such file or directory"
            ),
            id="missing file",
        ),
        pytest.param(
            "[ALERT]    (1) : config : parsing [c.cfg:11] : 'acl' : [d.cfg:3] : is no place\n",
            Diagnostic("alert", 11, "'acl' : [d.cfg:3] : is no place"),
            id="a second place is text",
        ),
        pytest.param(
            "[NOTICE]   (1) : haproxy version is 2.8.25-5cf5d0683\n",
            Diagnostic("notice", None, "haproxy version is 2.8.25-5cf5d0683"),
            id="notice",
        ),
        pytest.param(
            "[ALERT]    (1) : config : parsing [/a [b]/it's ]:x/c.cfg:4] : bad\n",
            Diagnostic("alert", 4, "bad"),
            id="brackets in the path",
        ),
    ],
)
def test_a_message_is_read(log: str, expected: Diagnostic) -> None:
    """Each form of message gives its severity, line and text."""
    assert diagnostics(log) == (expected,)


def test_a_line_of_another_file_is_no_line_of_ours() -> None:
    """What HAProxy says of a file that the configuration makes it read is not blamed on the line of that number."""
    log = "[ALERT]    (1) : config : parsing [/x/errors.http:900] : bad\n[ALERT]    (1) : config : parsing [/x/c.cfg:9] : worse\n"
    found = diagnostics(log, "/x/c.cfg")
    assert found[0] == Diagnostic("alert", None, "parsing [/x/errors.http:900] : bad")
    assert found[1] == Diagnostic("alert", 9, "worse")


def test_summaries_and_bare_lines_are_left_out() -> None:
    """What only says that there were messages is none, and lines without severity do not run into the one before."""
    log = (
        "[WARNING]  (7) : config : log format ignored for frontend 'a' since it has no log address.\n"
        "Warnings were found.\n"
        "[ALERT]    (7) : config : Error(s) found in configuration file : c.cfg\n"
        "[ALERT]    (7) : config : Fatal errors found in configuration.\n"
        "Configuration file is valid\n"
    )
    assert diagnostics(log) == (
        Diagnostic("warning", None, "log format ignored for frontend 'a' since it has no log address."),
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            "Binding [c.cfg:9] for frontend fe_tcp:17002: cannot bind socket (Address already in use) for"
            " [127.0.0.1:17002]",
            BindFailure("fe_tcp:17002", "127.0.0.1:17002", "cannot bind socket (Address already in use)"),
            id="2.8",
        ),
        pytest.param(
            "Binding [c.cfg:12] for frontend fe_tcp:17003: protocol tcpv6: cannot bind socket (Address already in use) for"
            " [:::17003].",
            BindFailure("fe_tcp:17003", ":::17003", "cannot bind socket (Address already in use)"),
            id="3.0",
        ),
        pytest.param(
            "Binding [c.cfg:2] for frontend GLOBAL: cannot bind UNIX socket (No such file or directory) [/no/x.sock]",
            BindFailure("GLOBAL", "/no/x.sock", "cannot bind UNIX socket (No such file or directory)"),
            id="UNIX socket, 2.8",
        ),
        pytest.param(
            "Binding [c.cfg:2] for frontend GLOBAL: protocol unix_stream: cannot bind UNIX socket (No such file or"
            " directory) [/no/x.sock].",
            BindFailure("GLOBAL", "/no/x.sock", "cannot bind UNIX socket (No such file or directory)"),
            id="UNIX socket, 3.0",
        ),
    ],
)
def test_a_bind_failure_is_read(message: str, expected: BindFailure) -> None:
    """Each form of a failed bind gives frontend, address and problem, among other messages."""
    log = (
        f"[NOTICE]   (7) : haproxy version is 3.0.11\n[ALERT]    (7) : {message}\n"
        "[ALERT]    (7) : [/usr/sbin/haproxy.main()] Some protocols failed to start their listeners! Exiting.\n"
    )
    assert bind_failures(log) == (expected,)


def test_a_complaint_about_a_bind_line_is_no_bind_failure() -> None:
    """A ``bind`` line that HAProxy cannot parse was never tried."""
    log = "[ALERT]    (7) : config : parsing [c.cfg:9] : 'bind' : invalid address: '1.2.3.4.5' in '1.2.3.4.5:80'\n"
    assert bind_failures(log) == ()
