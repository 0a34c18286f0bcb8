// A real OpenID provider for tests, several issuers in one process, each on a port of its own.
//
// The first line of standard input names the issuers and their clients; the first line of standard output says where
// they listen. The process ends with its standard input, so it never outlives the tests.
import http from 'node:http';
import { createInterface } from 'node:readline';

import { generateKeyPair, exportJWK } from 'jose';
import { Provider, errors } from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';

import { faults } from './faults.mjs';
import { pages } from './pages.mjs';
import { TOKEN_EXCHANGE, tokenExchange } from './token_exchange.mjs';

const ACCESS_TOKEN_S = 300;

async function signingKey() {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'test' };
}

// Tokens for a service are signed, so that it can check them by itself.
function resourceServer(resource, scopes) {
  if (!resource?.startsWith('https://')) throw new errors.InvalidTarget();
  return {
    scope: scopes.join(' '),
    audience: resource,
    accessTokenFormat: 'jwt',
    accessTokenTTL: ACCESS_TOKEN_S,
    jwt: { sign: { alg: 'ES256' } },
  };
}

function configuration({ clients, scopes }, key) {
  return {
    adapter: createMemoryAdapter(86_400), // what has expired is remembered as such for a day
    clients,
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    jwks: { keys: [key] },
    cookies: { keys: ['only the tests know this'] },
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub'] },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    rotateRefreshToken: true,
    // A counterpart keeps its grant until someone ends it, whether or not the person's browser is still signed in.
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: () => false,
    pkce: { required: () => true },
    ttl: {
      AccessToken: ACCESS_TOKEN_S,
      AuthorizationCode: 60,
      ClientCredentials: ACCESS_TOKEN_S,
      DeviceCode: 600,
      Grant: 86_400,
      IdToken: 300,
      Interaction: 600,
      RefreshToken: 3_600,
      Session: 86_400,
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: false },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: (ctx, form) => { ctx.body = form; },
        userCodeConfirmSource: (ctx, form) => { ctx.body = form; },
        successSource: (ctx) => { ctx.body = 'connected'; },
      },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => resourceServer(resource, scopes),
      },
    },
  };
}

async function listening(issuer) {
  const server = http.createServer();
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const address = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(address, configuration(issuer, await signingKey()));
  const exchange = tokenExchange(provider, issuer.scopes, (resource) => resourceServer(resource, issuer.scopes));
  provider.registerGrantType(TOKEN_EXCHANGE, exchange, ['subject_token', 'subject_token_type', 'resource', 'scope']);
  provider.use(faults(provider));
  provider.use(pages(provider));
  server.on('request', provider.callback());
  return address;
}

const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
lines.once('line', async (line) => {
  const addresses = await Promise.all(JSON.parse(line).map(listening));
  process.stdout.write(`${JSON.stringify(addresses)}\n`);
});
