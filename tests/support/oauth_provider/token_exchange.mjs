// RFC 8693, as little of it as a counterpart needs: an access token of this provider's for one that another service
// accepts, with the scopes that it knows of those asked for.
import { errors } from 'oidc-provider';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

export function tokenExchange(provider, scopes, serverOf) {
  return async (ctx) => {
    const { params, client } = ctx.oidc;
    if (params.subject_token_type !== ACCESS_TOKEN) throw new errors.InvalidRequest('subject_token_type');
    const subject = await provider.AccessToken.find(params.subject_token);
    if (!subject?.isValid) throw new errors.InvalidGrant('subject token');
    const token = new provider.AccessToken({
      accountId: subject.accountId,
      client,
      grantId: subject.grantId,
      gty: 'token_exchange',
      scope: (params.scope ?? '').split(' ').filter((scope) => scopes.includes(scope)).join(' '),
    });
    token.resourceServer = new provider.ResourceServer(params.resource, serverOf(params.resource));
    ctx.oidc.entity('AccessToken', token);
    ctx.body = {
      access_token: await token.save(),
      expires_in: token.expiration,
      issued_token_type: ACCESS_TOKEN,
      scope: token.scope || undefined,
      token_type: 'Bearer',
    };
  };
}
