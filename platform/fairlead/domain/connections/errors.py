"""Why a connection cannot be used, or not be made."""

from fairlead.domain.errors import Denied, FairleadError, NotFound, Rejected, Unavailable


class GrantRefused(Rejected):
    """The provider refused: the code or refresh token is spent, expired or revoked, or the person said no.

    `error` is the provider's word by RFC 6749 (`invalid_grant`, `access_denied`, …), never its description.
    """

    code = "grant_refused"

    def __init__(self, error: str) -> None:
        super().__init__(f"the provider refused: {error}")
        self.error = error


class ProviderUnavailable(Unavailable):
    """The provider did not answer, or not sensibly. `may_have_happened`: the request went out, so a code or refresh
    token in it may be spent."""

    code = "provider_unavailable"

    def __init__(self, retry_after_s: int = 1, *, may_have_happened: bool = False) -> None:
        super().__init__("the provider", retry_after_s)
        self.may_have_happened = may_have_happened


class ProviderMisfit(Rejected):
    """The provider cannot do what is asked of it, or what it says of itself is not to be trusted."""

    code = "provider_misfit"


class NeedsReconnect(Denied):
    """The connection's grant is gone; a person has to give it again at `reconnect_path`."""

    code = "reconnect_needed"

    def __init__(self, connection_id: str, message: str) -> None:
        super().__init__(f"connection:{connection_id}", message)
        self.connection_id = connection_id

    @property
    def reconnect_path(self) -> str:
        return f"/v1/connections/{self.connection_id}/authorize"


class ScopeMissing(Denied):
    """The connection was not granted what the tool needs. `missing` is the first such scope."""

    code = "scope_missing"

    def __init__(self, connection_id: str, missing: str, message: str) -> None:
        super().__init__(missing, message)
        self.connection_id = connection_id

    @property
    def reconnect_path(self) -> str:
        return f"/v1/connections/{self.connection_id}/authorize"


class ConnectionNotFound(NotFound):
    """No such connection in this workspace and environment."""

    code = "connection_not_found"


class ConnectionAmbiguous(Rejected):
    """None is named, and there are several: name one in the workflow's `connections`."""

    code = "connection_ambiguous"


class ConnectionMismatch(Rejected):
    """The connection of that name is for another connector."""

    code = "connection_mismatch"


class ConnectionExists(Rejected):
    """The workspace has a connection of that name in that environment."""

    code = "connection_exists"


class AuthorizationOutdated(Rejected):
    """The connection was revoked, deleted or given anew since this authorization began: begin again."""

    code = "authorization_outdated"


class SignInUnknown(Rejected):
    """No such sign-in is under way for this principal and connection: it was used, took too long, or never was."""

    code = "sign_in_unknown"


class GrantNotOffered(Rejected):
    """The connection is given another way: see its `auth` and `grant`."""

    code = "grant_not_offered"


class OAuthClientMissing(NotFound):
    """There is no registration at the connector's provider in this workspace and environment: register one."""

    code = "oauth_client_not_found"


class SecretUnreadable(FairleadError):
    """What is kept was sealed for somebody else, altered, or sealed with a key that is not there. Fails closed."""

    code = "secret_unreadable"
