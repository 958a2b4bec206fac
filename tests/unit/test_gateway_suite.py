"""Which test of this project stands for which of the Gateway API's conformance suite (v1.6.1; profiles GATEWAY-TCP and GATEWAY-TLS)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

_HERE = Path(__file__).parents[1] / "e2e"
_API, _HTTP, _TLS, _ENDS, _SETS = (f"test_gateway_{each}.py" for each in ("api", "http", "tls", "terminate", "sets"))
_GRANTS = (_HTTP, "test_a_secret_of_another_namespace_needs_a_grant")
_CROSS = (_API, "test_a_backend_of_another_namespace_needs_a_grant")
_TAKES = (_SETS, "test_a_gateway_takes_sets_of_the_namespaces_that_it_says")
_BACKENDS = (_TLS, "test_a_backend_that_cannot_be_had_drops_connections")
_MODES = (_TLS, "test_kinds_and_modes_that_are_not_supported")
_NOWHERE = (_TLS, "test_no_listener_of_the_name")
CORE = {
    "GatewayClassObservedGenerationBump": (_API, "test_a_class_is_accepted_and_followed"),
    "GatewayObservedGenerationBump": (_HTTP, "test_a_second_http_listener_follows_the_generation"),
    "GatewayInvalidParametersRef": (_API, "test_a_gateway_with_parameters_is_not_accepted"),
    "GatewayListenerUnsupportedProtocol": (_HTTP, "test_an_unsupported_listener_beside_an_http_one"),
    "GatewayInvalidRouteKind": (_HTTP, "test_invalid_kinds_of_an_http_listener"),
    "GatewayInvalidTLSConfiguration": (_HTTP, "test_invalid_certificates"),
    "GatewaySecretMissingReferenceGrant": _GRANTS,
    "GatewaySecretInvalidReferenceGrant": _GRANTS,
    "GatewaySecretReferenceGrantAllInNamespace": _GRANTS,
    "GatewaySecretReferenceGrantSpecific": _GRANTS,
    "GatewayModifyListeners": (_HTTP, "test_http_routes_are_counted_where_their_hostnames_meet"),
    "TCPRouteParentRefPortAndSectionName": (_API, "test_a_route_is_served_by_port_and_by_name_of_the_listener"),
    "TCPRouteParentRefAttachAll": (_API, "test_a_route_without_section_is_served_by_all_listeners"),
    "TCPRouteWeightedRouting": (_API, "test_weights_are_followed_and_those_who_cannot_be_had_refuse_their_share"),
    "TCPRouteMultipleRoutesAttachment": (
        _API,
        "test_the_oldest_route_has_the_port_and_no_connection_fails_when_another_comes",
    ),
    "TCPRouteInvalidBackendRefNonexistent": (_API, "test_a_backend_that_is_not_there_is_told_on_the_route_alone"),
    "TCPRouteInvalidCrossNamespaceBackendRef": _CROSS,
    "TCPRouteReferenceGrant": _CROSS,
    "TCPRouteInvalidNonTCPListener": (_HTTP, "test_a_tcp_route_is_not_allowed_at_an_http_listener"),
    "TLSRouteSimpleSameNamespace": (_TLS, "test_a_route_is_reached_by_its_name_alone"),
    "TLSRouteHostnameIntersection": (_TLS, "test_names_count_where_they_meet_the_listeners"),
    "TLSRouteInvalidNoMatchingListenerHostname": _NOWHERE,
    "TLSRouteInvalidNoMatchingListener": (_TLS, "test_http_listeners_take_no_tls_routes"),
    "TLSRouteInvalidBackendRefNonexistent": _BACKENDS,
    "TLSRouteInvalidBackendRefUnknownKind": _BACKENDS,
    "TLSRouteInvalidReferenceGrant": (_TLS, "test_a_grant_that_is_wrong_in_one_thing_is_none"),
    "TLSRouteListenerPassthroughSupportedKinds": _MODES,
    "TLSRouteListenerTerminateNotSupported": _MODES,
}
"""Of both profiles, with ``--gateway-http accept``."""
EXTENDED = {
    "GatewayStaticAddresses": (_API, "test_addresses_are_chosen_and_told"),
    "GatewayOptionalAddressValue": (_API, "test_addresses_are_chosen_and_told"),
    "TLSRouteListenerTerminateSupportedKinds": (_ENDS, "test_kinds_of_a_listener_that_ends_tls"),
    "TLSRouteTerminateSimpleSameNamespace": (_ENDS, "test_a_listener_ends_tls"),
    "TLSRouteMixedTerminationSameNamespace": (_ENDS, "test_both_modes_on_one_port"),
    "ListenerSetAllowedNamespaceNone": _TAKES,
    "ListenerSetDefaultNotAllowed": _TAKES,
    "ListenerSetAllowedNamespaceSame": _TAKES,
    "ListenerSetAllowedNamespaceSelector": _TAKES,
    "ListenerSetHostnameConflict": (_SETS, "test_hostnames_are_had_by_who_comes_first"),
    "ListenerSetProtocolConflict": (_SETS, "test_ports_are_of_the_protocol_of_who_comes_first"),
    "ListenerSetReferenceGrant": (_SETS, "test_a_grant_to_a_gateway_is_none_to_its_sets"),
    "ListenerSetAllowedRoutesSupportedKinds": (_SETS, "test_kinds_that_a_listener_of_a_set_cannot_have"),
}
"""Of features that GatewayClasses claim. Not claimed are GatewayInfrastructurePropagation, for there is nothing that it could be put on, and GatewayPort8080, which is of HTTP."""
NEXT = {
    "GatewayNameMaximumLength": (_API, "test_a_gateway_with_a_name_of_full_length_is_served"),
    "ListenerSetParentNotAccepted": (_SETS, "test_sets_of_a_gateway_that_is_not_served_are_not"),
}
"""Of the suite's main branch."""


def test_all_core_tests_are_counted() -> None:
    """Twenty-eight in both profiles together."""
    assert len(CORE) == 28


@pytest.mark.parametrize(("theirs", "ours"), sorted({**CORE, **EXTENDED, **NEXT}.items()))
def test_every_test_of_the_suite_has_one_here(theirs: str, ours: tuple[str, str]) -> None:
    """It is there, and its docstring or that of its neighbours says whose place it takes."""
    file, name = ours
    tree = ast.parse((_HERE / file).read_text(encoding="utf-8"))
    functions = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}
    assert name in functions, theirs
    assert ast.get_docstring(functions[name])
