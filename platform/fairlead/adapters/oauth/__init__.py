"""Our side of OAuth 2.1, over the guarded way out.

discovery.py where a provider says its endpoints are · client_auth.py how we prove who we are · asking.py one request,
and what its failure means · answers.py what a provider may say · id_tokens.py who signed in · flows.py the grants
"""

from fairlead.adapters.oauth.flows import OAuth

__all__ = ["OAuth"]
