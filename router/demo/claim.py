"""The demo's TransportServerClaim, as text for people to read and edit; pure."""

from __future__ import annotations

CLAIM = "claim.yaml"
CLAIM_TEXT = """\
# Asks by a claim, as teams with F5 appliances do: the router gives it a port of --claim-ports, and leads to the port tcp of the Service.
apiVersion: porter.devops.gov.bc.ca/v1alpha1
kind: TransportServerClaim
metadata:
  name: mail-tsc
spec:
  monitor:
    interval: 10
    timeout: 10
    type: tcp
  service: mail-service
  servicePort: tcp
"""
