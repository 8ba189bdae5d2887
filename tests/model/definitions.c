/* Random definitions: any steps that the language allows, each written as an operator might, in two versions that
 * differ in one header, and sometimes in whether runs are durable.
 *
 * Every call says in headers whose it is, so that the upstream and the checks need not guess. Steps are chosen so that
 * a definition always compiles; what they then meet is the upstream's affair. */
#include "world.h"

enum kind { KIND_START, KIND_POLL, KIND_WAIT, KIND_NOTE };

struct shape_step {
    enum kind kind;
    bool waits, follows, told;
    int job; /* the step whose job it asks about; -1: none */
};

static struct shape_step shape[WORLD_STEPS];
static uint32_t shape_count;
static uint64_t shape_random; /* so that both versions are made from the same chance */

static void add_rules(struct buf *out, bool poll) {
    buf_adds(out, "    value = \"$.state\"; success = [ \"ok\" ]; failure = [ \"bad\" ]; canceled = [ \"gone\" ];");
    if (one_in(2)) buf_adds(out, " warn = [ \"hm\" ];");
    else buf_adds(out, " success_when = \"body.state == 'hm'\";");
    if (one_in(2)) buf_adds(out, " running = [ \"busy\" ];");
    if (one_in(5)) buf_adds(out, " unknown = \"fail\";");
    if (one_in(3)) buf_adds(out, " message = \"$.message\"; progress = \"$.percent\";");
    buf_adds(out, "\n");
    if (!poll) return;
    uint32_t every = 1 + below(10);
    buf_addf(out, "    every = \"%us\"; timeout = \"%us\";", every, 5 + below(120));
    if (one_in(4)) buf_addf(out, " success_for = %u;", 2 + below(3));
    else if (one_in(6)) buf_addf(out, " success_for = \"%us\";", 2 + below(20));
    if (one_in(4)) buf_addf(out, " not_found_grace = \"%us\";", 1 + below(10));
    if (one_in(6)) buf_addf(out, " backoff = 1.5; max_every = \"%us\";", every + below(30));
    else if (one_in(6)) buf_addf(out, " adaptive = true; max_every = \"%us\";", every + below(30));
    buf_adds(out, "\n");
}

static void add_who(struct buf *out, const char *kind, uint32_t step, unsigned version, bool hook) {
    buf_addf(out,
             "    auth = { type = \"bearer\"; token = \"{{ secret.token }}\"; };\n"
             "    headers = { X-Run = \"{{ run.id }}\"; X-Step = \"%u\"; X-Kind = \"%s\"; X-Def = \"%u\";%s };\n",
             step, kind, version, hook ? " X-Callback = \"{{ callback.url }}\";" : "");
}

static void add_retry(struct buf *out) {
    if (one_in(3)) return;
    buf_addf(out, "    retry = { attempts = %u; delay = \"1s\"; max_delay = \"5s\";", below(4));
    if (one_in(4)) buf_addf(out, " budget = \"%us\";", 5 + below(60));
    if (one_in(4)) buf_adds(out, " on = \"429,503\";");
    buf_adds(out, " };\n");
    if (one_in(3)) buf_addf(out, "    call_timeout = \"%us\";\n", 1 + below(10));
}

static void add_probe(struct buf *out, uint32_t step, unsigned version) {
    buf_adds(out, "    probe = { url = \"http://up.test/find\"; found = \"$.items[0]\"; not_found_grace = \"3s\";\n");
    buf_addf(out, "    retry = { attempts = %u; delay = \"1s\"; max_delay = \"3s\"; };\n", 1 + below(4));
    add_who(out, "probe", step, version, false);
    buf_adds(out, "    };\n");
}

static void add_doubt(struct buf *out, uint32_t step, unsigned version) {
    switch (below(6)) {
    case 0: buf_adds(out, "    on_in_doubt = \"resend\";\n"); break;
    case 1: buf_adds(out, "    idempotency_key = true;\n"); break;
    case 2:
    case 3: add_probe(out, step, version); break;
    case 4: buf_adds(out, "    on_in_doubt = \"fail\";\n"); break;
    default: break;
    }
}

static void add_callback(struct buf *out, bool polls) {
    bool hint = polls && one_in(3);
    buf_adds(out, "    callback = {\n");
    if (one_in(3)) buf_adds(out, "    verify = { type = \"github\"; secret = \"{{ secret.hook }}\"; };\n");
    else if (one_in(3)) buf_adds(out, "    verify = { type = \"bearer\"; secret = \"{{ secret.hook }}\"; };\n");
    if (hint) buf_adds(out, "    hint = true;\n");
    if (!polls) buf_addf(out, "    timeout = \"%us\";\n", 2 + below(90));
    if (!hint && !one_in(4)) add_rules(out, false);
    buf_adds(out, "    };\n");
}

static void add_poll_call(struct buf *out, uint32_t i) {
    if (shape[i].follows) buf_adds(out, "    follow = \"location\";\n");
    else if (shape[i].job >= 0) buf_addf(out, "    url = \"http://up.test/jobs/{{ s%d.body.id }}\";\n", shape[i].job);
    else buf_addf(out, "    url = \"http://up.test/gates/{{ run.id }}-%u\";\n", i);
    switch (below(8)) {
    case 0:
    case 3: buf_adds(out, "    method = \"POST\";\n"); break;
    case 1: buf_adds(out, "    method = \"POST\"; idempotent = true;\n"); break;
    case 2: buf_adds(out, "    method = \"POST\"; on_in_doubt = \"resend\";\n"); break;
    default: break;
    }
}

static void add_start_call(struct buf *out, uint32_t i) {
    buf_addf(out,
             "    url = \"http://up.test/work/%u\"; body = \"{ \\\"app\\\": {{ parameters.app }}, \\\"pw\\\": {{ "
             "parameters.pw }} }\";\n",
             i);
    if (one_in(5)) buf_adds(out, "    method = \"PUT\";\n");
    else buf_adds(out, "    method = \"POST\";\n");
}

static void add_step(struct buf *out, uint32_t i, unsigned version) {
    const struct shape_step *step = &shape[i];
    buf_addf(out, "%s  { name = \"s%u\";\n", i ? ",\n" : "", i);
    if (step->kind == KIND_START) add_start_call(out, i);
    if (step->kind == KIND_NOTE) buf_addf(out, "    url = \"http://up.test/note/%u\"; method = \"PUT\";\n", i);
    if (step->kind == KIND_POLL) add_poll_call(out, i);
    if (step->kind != KIND_WAIT) {
        add_who(out, "step", i, version, step->told);
        add_retry(out);
    }
    if (step->kind == KIND_START) add_doubt(out, i, version);
    if (step->kind == KIND_POLL && !(step->follows && one_in(2))) add_rules(out, true);
    else if (step->kind == KIND_POLL) buf_addf(out, "    every = \"2s\"; timeout = \"%us\";\n", 5 + below(90));
    else if (one_in(6)) buf_addf(out, "    timeout = \"%us\";\n", 1 + below(90));
    if (step->waits) add_callback(out, step->kind == KIND_POLL);
    if (step->kind == KIND_NOTE && i > 0 && one_in(2)) buf_adds(out, "    when = \"s0.body.go\";\n");
    if (one_in(3)) buf_adds(out, "    outputs = { o = \"$.message\"; };\n");
    buf_adds(out, "  }");
}

static void add_cancel(struct buf *out, unsigned version) {
    uint32_t step = (uint32_t)world.cancel_step;
    const char *whose = "run/{{ run.id }}";
    char job[40];
    if (step < WORLD_STEPS) {
        snprintf(job, sizeof job, "jobs/{{ s%u.body.id }}", step);
        whose = job;
    }
    buf_addf(out, "cancel = { url = \"http://up.test/%s/stop\"; method = \"DELETE\"; timeout = \"%us\";\n", whose,
             one_in(5) ? 0 : 2 + below(60));
    add_who(out, "cancel", step < WORLD_STEPS ? step : 0, version, false);
    if (one_in(3)) {
        buf_addf(out, "    fallback = { url = \"http://up.test/%s/kill\"; method = \"POST\";\n", whose);
        add_who(out, "fallback", step < WORLD_STEPS ? step : 0, version, false);
        buf_adds(out, "    };\n");
    }
    buf_adds(out, "};\n");
}

/* In both versions, or in one: runs in flight keep to theirs. */
static void add_durable(struct buf *out, unsigned version) {
    uint32_t draw = below(9);
    if (draw < 2 || draw == 2 + version) buf_adds(out, "durable = false;\n");
}

static void add_top(struct buf *out, unsigned version) {
    static const char *const on[] = {"attach", "reject", "queue", "supersede"};
    buf_adds(out, "name = \"model\";\nparameters = ( { name = \"app\"; type = \"string\"; default = \"a\"; }, { name = "
                  "\"pw\"; type = \"secret\"; } );\n");
    if (one_in(3)) buf_addf(out, "timeout = \"%us\";\n", 1 + below(180));
    if (one_in(6)) buf_addf(out, "orphan_after = \"%us\";\n", 5 + below(120));
    if (one_in(4)) {
        buf_adds(out, "limits = {");
        bool some = false;
        if (one_in(2)) buf_addf(out, " concurrency = %u;", 1 + below(2)), some = true;
        if (one_in(3)) buf_adds(out, " rate = \"30/m\";"), some = true;
        if (!some || one_in(3)) buf_addf(out, " gap = \"%us\";", 1 + below(4));
        buf_adds(out, " };\n");
    }
    if (one_in(10)) buf_adds(out, "breaker = { window = \"20s\"; minimum = 3; pause = \"5s\"; };\n");
    add_durable(out, version);
    if (one_in(5)) buf_addf(out, "dedup = { key = \"{{ parameters.app }}\"; on_duplicate = \"%s\"; };\n", on[below(4)]);
}

/* Which steps there are. */
static void draw_steps(void) {
    int job = -1;
    shape_count = 1 + below(4);
    for (uint32_t i = 0; i < shape_count; i++) {
        struct shape_step *step = &shape[i];
        *step = (struct shape_step){.kind = KIND_NOTE, .job = job};
        uint32_t draw = below(10);
        if (i == 0 ? draw < 7 : draw < 2) step->kind = KIND_START;
        else if (draw < 8) step->kind = KIND_POLL;
        else if (i > 0 && draw < 9) step->kind = KIND_WAIT;
        if (step->kind == KIND_START) job = (int)i;
        step->waits = step->kind == KIND_WAIT || (step->kind != KIND_NOTE && one_in(4));
        step->follows = step->kind == KIND_POLL && i > 0 && shape[i - 1].kind == KIND_START && !shape[i - 1].waits &&
                        one_in(3);
    }
}

/* Who waits has to be told of, by its own call or one before it. */
static void tell_steps(void) {
    for (uint32_t i = 0; i < shape_count; i++) {
        if (!shape[i].waits) continue;
        if (shape[i].kind == KIND_WAIT && (i == 0 || shape[i - 1].waits || shape[i - 1].kind != KIND_START)) {
            shape[i].kind = KIND_NOTE;
            shape[i].waits = false;
        }
    }
    for (uint32_t i = 0; i < shape_count; i++) {
        bool next_waits = i + 1 < shape_count && shape[i + 1].kind == KIND_WAIT;
        shape[i].told = shape[i].waits ? shape[i].kind != KIND_WAIT : next_waits;
    }
}

void definition_pick(void) {
    draw_steps();
    tell_steps();
    shape_random = world.random;
    world.cancel_step = WORLD_STEPS;
    for (uint32_t i = 0; i < shape_count; i++)
        if (shape[i].kind == KIND_START && !one_in(4)) world.cancel_step = i;
}

void definition_make(unsigned version, struct buf *out) {
    uint64_t random = world.random;
    world.random = shape_random;
    add_top(out, version);
    buf_adds(out, "steps = (\n");
    for (uint32_t i = 0; i < shape_count; i++) add_step(out, i, version);
    buf_adds(out, "\n);\n");
    if (!one_in(4)) add_cancel(out, version);
    if (one_in(3)) buf_adds(out, "outputs = { last = \"$.state\"; };\n");
    world.random = random;
}
