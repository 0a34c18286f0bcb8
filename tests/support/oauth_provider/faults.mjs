// What can go wrong at a provider, switched on and off by POST /_control with one JSON object:
//
// {"at": "/token", "do": …, "times": n}   the next n requests there (without `times` all):
//     "answer"  {status, headers, body}   are not carried out, this is the answer
//     "lose"                              are carried out, and the connection breaks before the answer
//     "cut"                               are not carried out, and the connection breaks
//     "hold"                              are not answered until they are cancelled by a reset
//     "patch"   {fields}                  are carried out, and these fields of the answer are others
// {"clock_s": n}      the provider's clock is n seconds ahead
// {"forget": "ana"}   the person ends every grant, as on a page of security settings
// {"reset": true}     everything is as it was at the start
//
// GET /_control says how many requests there were, by path.

const systemNow = Date.now;
let aheadMs = 0;
Date.now = () => systemNow() + aheadMs;

async function json(ctx) {
  const parts = [];
  for await (const part of ctx.req) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

function cut(ctx) {
  ctx.respond = false;
  ctx.req.socket.destroy();
}

async function misbehave(fault, ctx, next, held) {
  switch (fault.do) {
    case 'answer':
      ctx.status = fault.status;
      ctx.set(fault.headers ?? {});
      ctx.body = fault.body ?? '';
      break;
    case 'cut':
      cut(ctx);
      break;
    case 'lose':
      await next();
      cut(ctx);
      break;
    case 'hold':
      await new Promise((resolve) => { held.push(resolve); });
      cut(ctx);
      break;
    case 'patch':
      await next();
      ctx.body = { ...ctx.body, ...fault.fields };
      break;
    default:
      throw new Error(`no such fault: ${fault.do}`);
  }
}

export function faults(provider) {
  const faulty = [];
  const held = [];
  const grants = new Map();
  const requests = {};
  provider.on('grant.success', (ctx) => {
    const { Account: account, Grant: grant } = ctx.oidc.entities;
    if (grant) grants.set(grant.jti, account.accountId);
  });

  async function forget(person) {
    for (const [id, owner] of grants) {
      if (owner !== person) continue;
      await (await provider.Grant.find(id))?.destroy();
      for (const kind of ['AccessToken', 'RefreshToken', 'AuthorizationCode']) await provider[kind].revokeByGrantId(id);
      grants.delete(id);
    }
  }

  async function control(order) {
    if (order.reset) {
      faulty.length = 0;
      aheadMs = 0;
      for (const release of held.splice(0)) release();
      for (const path of Object.keys(requests)) delete requests[path];
    } else if (order.forget) {
      await forget(order.forget);
    } else if (order.clock_s !== undefined) {
      aheadMs = order.clock_s * 1000;
    } else {
      faulty.push({ times: Infinity, ...order });
    }
  }

  return async (ctx, next) => {
    if (ctx.path === '/_control') {
      if (ctx.method === 'POST') await control(await json(ctx));
      ctx.body = requests;
      return undefined;
    }
    requests[ctx.path] = (requests[ctx.path] ?? 0) + 1;
    const fault = faulty.find(({ at, times }) => at === ctx.path && times > 0);
    if (!fault) return next();
    fault.times -= 1;
    return misbehave(fault, ctx, next, held);
  };
}
