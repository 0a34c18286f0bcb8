"""Write a connector: a manifest of typed tools, and the errors that say what to do next."""

from fairlead_sdk.auth import Access, Auth, AuthKind, OAuthGrant, OAuthServer, Scope
from fairlead_sdk.contract import (
    SENSITIVE,
    Call,
    ConfigField,
    Connector,
    Effect,
    Idempotency,
    JsonSchema,
    Manifest,
    Tool,
    tool,
)
from fairlead_sdk.errors import AnswerTooLarge, BadArguments, NeedsReconnect, OutcomeUnknown, Refused, TryLater
from fairlead_sdk.hookspecs import ENTRY_POINT_GROUP, hookimpl
from fairlead_sdk.models import Ability, Model, ModelService, ModelTimes, Wire
from fairlead_sdk.outbound import Connection, Credential, Http, HttpAnswer

__all__ = [
    "ENTRY_POINT_GROUP",
    "SENSITIVE",
    "Ability",
    "Access",
    "AnswerTooLarge",
    "Auth",
    "AuthKind",
    "BadArguments",
    "Call",
    "ConfigField",
    "Connection",
    "Connector",
    "Credential",
    "Effect",
    "Http",
    "HttpAnswer",
    "Idempotency",
    "JsonSchema",
    "Manifest",
    "Model",
    "ModelService",
    "ModelTimes",
    "NeedsReconnect",
    "OAuthGrant",
    "OAuthServer",
    "OutcomeUnknown",
    "Refused",
    "Scope",
    "Tool",
    "TryLater",
    "Wire",
    "hookimpl",
    "tool",
]
