// What a user would write on Node.js in place of a stage: parse, check, render, call, answer. PORT and UPSTREAM are set.
'use strict';
const fastify = require('fastify')();
const { Pool } = require('undici');

const pool = new Pool(process.env.UPSTREAM, { connections: 256 });
const schema = {
  body: {
    type: 'object',
    required: ['parameters'],
    properties: {
      parameters: {
        type: 'object',
        required: ['target'],
        properties: { target: { type: 'string' }, users: { type: 'integer', default: 50 } },
      },
      caller: { type: 'object', properties: { user: { type: 'string' }, application: { type: 'string' } } },
    },
  },
};

fastify.post('/stages/fire', { schema }, async (request, answer) => {
  const { parameters, caller } = request.body;
  const body = JSON.stringify({
    target: parameters.target,
    users: parameters.users,
    by: caller.user,
    of: caller.application,
    kind: 'load',
  });
  const reply = await pool.request({
    method: 'POST',
    path: '/fire',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const said = await reply.body.json();
  answer.code(200);
  return { status: said.state === 'done' ? 'SUCCEEDED' : 'TERMINAL', outputs: { id: said.id } };
});
fastify.get('/ready', async () => ({ status: 'ready' }));
fastify.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
