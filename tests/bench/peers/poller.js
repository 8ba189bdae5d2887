// What a user would write on Node.js in place of runs in flight: each one is polled every 10 s, spread evenly. PORT, UPSTREAM
// and RUNS are set; GET /late gives how late the polls of the last while began, and forgets them.
'use strict';
const http = require('http');
const { Pool } = require('undici');

const EVERY_MS = 10000;
const pool = new Pool(process.env.UPSTREAM, { connections: 64, pipelining: 1 });
const runs = [];
let late = [];

async function poll(run) {
  late.push(Date.now() - run.due);
  const reply = await pool.request({ method: 'GET', path: '/slow' });
  const said = await reply.body.json();
  run.state = said.state;
  run.percent = said.percent;
  run.due = Math.max(run.due + EVERY_MS, Date.now());
  run.timer = setTimeout(poll, run.due - Date.now(), run);
}

for (let i = 0; i < Number(process.env.RUNS); i++) {
  const run = { id: `run-${i}`, state: 'running', percent: 0, due: Date.now() + (i % EVERY_MS), timer: null };
  run.timer = setTimeout(poll, run.due - Date.now(), run);
  runs.push(run);
}

http
  .createServer((request, answer) => {
    const sorted = late.sort((a, b) => a - b);
    late = [];
    answer.end(JSON.stringify({ polls: sorted.length, p99_ms: sorted[Math.floor(sorted.length * 0.99)] ?? null }));
  })
  .listen(Number(process.env.PORT), '127.0.0.1');
