"""Checks of the Helm chart without a cluster: Kubernetes' schemas, and what an installation of ours must be besides."""
