"""What each reason of a rejection means to who reads it on an object, and what to do about it.

The site's page of reasons is made of this, and what explains one asker ends with it. What is wrong with one object stands in the message of its
verdict; here is what holds for all of a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.admission.verdicts import Reason


@dataclass(frozen=True, slots=True)
class Remedy:
    """What a reason means, and what to do: each a sentence or two, in plain text."""

    meaning: str
    team: str
    """What the owner of the object does."""
    admin: str = ""
    """What an admin of the router can do, where that is something; else nothing is."""


REMEDIES: Mapping[Reason, Remedy] = {
    Reason.INVALID_PORT: Remedy(
        "The object asks for a port that is none, or asks for no port at all.",
        "Write the port as text, a whole number from 1 to 65535, or auto.",
    ),
    Reason.PORT_RESERVED: Remedy(
        "The port is the router's own, the node's, or kept for somebody by an admin.",
        "Ask for another port, or for auto.",
        "--reserved-ports and Reserved PortClaims say which ports are kept.",
    ),
    Reason.PORT_NOT_ALLOWED: Remedy(
        "The port is outside the ports that this router gives, or outside those of the namespace.",
        "Ask for a port of those that the message names.",
        "--ports is for all; the policy of a namespace is in its annotations or in --port-policy.",
    ),
    Reason.PORT_QUOTA_EXCEEDED: Remedy(
        "The namespace holds as many ports as it may.",
        "Give up one of the ports that the message names, or ask for a larger number.",
        "The number is in the namespace's annotation tcp-ports-max, in --port-policy, or --namespace-max-ports.",
    ),
    Reason.PORT_ALREADY_CLAIMED: Remedy(
        "Somebody else has the port, and keeps it.",
        "Ask for another port, or for auto; or talk with who has it. It is served by itself as soon as it is free.",
        "tcp-router ports names the holder; docs say how a PortClaim is moved to another.",
    ),
    Reason.ADDRESS_NOT_ALLOWED: Remedy(
        "The namespace may not use the address that external-address names.",
        "Name an address that the namespace may use, or none.",
        "The namespace's annotation tcp-addresses, or --address-default-allowed, lets it.",
    ),
    Reason.ADDRESS_UNAVAILABLE: Remedy(
        "No node of the router has the address now. The port is kept.",
        "Wait: it is served as soon as a node has the address.",
        "Look where the address is (keepalived, the load balancer); tcp_router_address_present says which node has it.",
    ),
    Reason.PORT_UNAVAILABLE: Remedy(
        "Another process of the node has the port. The claim is kept.",
        "Ask for another port, or wait until the other process is gone.",
        "Find the process on the node (ss -ltnp), and end it or reserve its port (--reserved-ports).",
    ),
    Reason.ALLOCATING: Remedy(
        "A port was chosen, and its PortClaim is being written.",
        "Wait a second. If it stays, tell the router's admin.",
        "If it stays, the leading replica cannot write PortClaims: its log and tcp_router_claim_writes_total say why.",
    ),
    Reason.NO_PORT_FREE: Remedy(
        "All ports that it may have are taken.",
        "Wait, or give up a port that is not used. It is served by itself when one is free.",
        "Add ports to --auto-ports, to --claim-ports for TransportServerClaims, or to the namespace's policy.",
    ),
    Reason.CLAIMS_UNAVAILABLE: Remedy(
        "The router keeps no PortClaims, so that it can give no port of its own choice.",
        "Ask for a certain port.",
        "Install the CRD of PortClaims (manifests/crds), and run with --claims.",
    ),
    Reason.INVALID_ANNOTATION: Remedy(
        "An annotation has a value that is not of its form, or that does not fit the others.",
        "Write it as the message says.",
    ),
    Reason.INVALID_SOURCE_RANGES: Remedy(
        "spec.loadBalancerSourceRanges names what is no range, or an annotation says something else.",
        "Write IPs and CIDRs there, in one of both places.",
    ),
    Reason.INVALID_SPEC: Remedy(
        "A field of spec is not of its form. What has a port keeps it.",
        "Write the field as the message says.",
    ),
    Reason.LEFT_TO_OTHERS: Remedy(
        "Somebody else serves the object, and nothing says that this router is to take over.",
        "Nothing, unless it is not served: then tell the router's admin.",
        "tcp-router claims import has this router take over, on the same port.",
    ),
    Reason.PAIRING: Remedy(
        "A port is being agreed on with the other cluster.",
        "Wait. After a minute it is served in this cluster alone.",
        "If it lasts, look at the pair process (tcp-router pair), which reserves the port in both clusters.",
    ),
    Reason.INVALID_HOST: Remedy(
        "spec.host is no DNS name, or does not fit spec.wildcardPolicy.",
        "Write a DNS name in lower case, an international one as its A-label (xn--...).",
    ),
    Reason.HOST_ALREADY_CLAIMED: Remedy(
        "Somebody else has the host on this port, or a wildcard of another namespace covers it.",
        "Use another host, or talk with who has it.",
        "--disable-namespace-ownership-check lets namespaces have hosts under each other's wildcards.",
    ),
    Reason.AMBIGUOUS_TARGET_PORT: Remedy(
        "The Service has several TCP ports, and nothing says which one is meant.",
        "Say the port in spec.port.targetPort, by its name or number.",
    ),
    Reason.EXTERNAL_NAME_NOT_ALLOWED: Remedy(
        "The Service is of type ExternalName, and leads to a name that the router does not lead to.",
        "Use a Service with pods, or ask an admin to allow the name.",
        "--external-names says which names are allowed.",
    ),
    Reason.REF_NOT_PERMITTED: Remedy(
        "The object leads to a Service of another namespace, and nothing there lets it. Its port is closed.",
        "Have who owns that namespace make the ReferenceGrant that the message names, or lead to a Service of your own. It is served by itself then.",
        "--transport-server-cross-namespace lets all TransportServers lead to all namespaces; the router reads ReferenceGrants by manifests/components/transport-servers.",
    ),
    Reason.LISTENER_NOT_TAKEN: Remedy(
        "The Gateway of a ListenerSet does not take it, or has its port for a listener that comes first: its own, or one of an older ListenerSet.",
        "Ask for another port or hostname, or have the owner of the Gateway let ListenerSets of the namespace.",
    ),
    Reason.UNSUPPORTED_TERMINATION: Remedy(
        "spec.tls asks for what a TCP port cannot do.",
        "Use edge, reencrypt or passthrough, without insecureEdgeTerminationPolicy; or no tls at all.",
    ),
    Reason.EXTENDED_VALIDATION_FAILED: Remedy(
        "A certificate or key of spec.tls cannot be served.",
        "Mend the field that the message names: the key has to be of the first certificate, and the chain has to sign it.",
    ),
    Reason.EXTERNAL_CERTIFICATE_VALIDATION_FAILED: Remedy(
        "The Secret that spec.tls.externalCertificate names cannot be served.",
        "Mend the Secret as the message says, or let OpenShift's router read it.",
        "--external-certificate-account is whose right to read the Secret counts.",
    ),
    Reason.EXTERNAL_CERTIFICATE_GET_FAILED: Remedy(
        "This router could not read the Secret that spec.tls.externalCertificate names.",
        "Bind a Role with get, list and watch of that one Secret to the router's service account (docs/tls.md).",
        "The router needs manifests/components/external-certificates to ask who may read it.",
    ),
    Reason.CERTIFICATE_MISSING: Remedy(
        "The router shall end TLS, or begin it anew to the pods, and has no certificate for that.",
        "Put certificate and key, or destinationCACertificate, into spec.tls.",
        "--default-certificate and --default-destination-ca are for Routes without their own.",
    ),
    Reason.CLIENT_CA_INVALID: Remedy(
        "Clients are to show certificates, and there is nothing good to verify these by.",
        "Mend the ConfigMap of client-ca or client-crl as the message says, or bind a Role with get, list and watch of it to the router's service account.",
        "manifests/components/client-certificates lets the router read ConfigMaps; --mutual-tls-auth-ca is for Routes without client-ca.",
    ),
    Reason.ROUTE_NOT_ADMITTED: Remedy(
        "It is a wildcard Route, and this router takes none.",
        "Set spec.wildcardPolicy to None.",
        "--allow-wildcard-routes admits them.",
    ),
    Reason.CONFIG_REJECTED: Remedy(
        "HAProxy refused what the object, or an own template, makes of it.",
        "Mend what the message names.",
        "If a template of your own is in use, render the Route with it (tcp-router render) and see what HAProxy says.",
    ),
    Reason.OUT_OF_FILES: Remedy(
        "HAProxy may not open as many files as one more port takes. The claim is kept.",
        "Tell the router's admin.",
        "Raise the container's limit of open files, or lower --max-connections.",
    ),
}  # fmt: skip
"""Every reason has its remedy."""
