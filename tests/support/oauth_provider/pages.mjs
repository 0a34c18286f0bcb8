// The person's side of the provider: signing in, consenting to some or all of it, saying no.

async function form(ctx) {
  const parts = [];
  for await (const part of ctx.req) parts.push(part);
  return new URLSearchParams(Buffer.concat(parts).toString());
}

// Without `scopes` the person agrees to everything; otherwise to those only.
async function consented(provider, { grantId, session, params, prompt: { details } }, scopes) {
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const isAgreed = (scope) => scopes === null || scopes.split(' ').includes(scope);
  for (const scope of details.missingOIDCScope ?? []) grant.addOIDCScope(scope);
  for (const [resource, missing] of Object.entries(details.missingResourceScopes ?? {})) {
    const agreed = missing.filter(isAgreed);
    const refused = missing.filter((scope) => !isAgreed(scope));
    if (agreed.length) grant.addResourceScope(resource, agreed.join(' '));
    if (refused.length) grant.rejectResourceScope(resource, refused.join(' '));
  }
  return { consent: { grantId: await grant.save() } };
}

async function decided(provider, interaction, fields) {
  switch (fields.get('do')) {
    case 'login': return { login: { accountId: fields.get('login') } };
    case 'consent': return consented(provider, interaction, fields.get('scopes'));
    default: return { error: 'access_denied', error_description: 'the person said no' };
  }
}

export function pages(provider) {
  return async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next();
    const interaction = await provider.interactionDetails(ctx.req, ctx.res);
    if (ctx.method === 'GET') {
      ctx.body = { asks: interaction.prompt.name, ...interaction.prompt.details };
      return undefined;
    }
    const decision = await decided(provider, interaction, await form(ctx));
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, decision, { mergeWithLastSubmission: true }));
    ctx.status = 303;
    return undefined;
  };
}
