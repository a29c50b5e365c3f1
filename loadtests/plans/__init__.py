"""Plan: what is measured, under which load, and its SLOs. TOML."""

from loadtests.plans.deployments import (
    CommandDeployment,
    Deployment,
    UrlDeployment,
    VariantDeployment,
)
from loadtests.plans.errors import PlanError
from loadtests.plans.hosts import check_host
from loadtests.plans.load import Load
from loadtests.plans.plan import (
    Plan,
    against,
    altered,
    check,
    common_keys,
    default,
    find,
    read,
    shipped,
    to_toml,
)
from loadtests.plans.requests import Request

__all__ = [
    "CommandDeployment",
    "Deployment",
    "Load",
    "Plan",
    "PlanError",
    "Request",
    "UrlDeployment",
    "VariantDeployment",
    "against",
    "altered",
    "check",
    "check_host",
    "common_keys",
    "default",
    "find",
    "read",
    "shipped",
    "to_toml",
]
