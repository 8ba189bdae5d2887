/* What a run in flight takes: bench_memory RUNS
 *
 * Makes runs of two steps, leads each through its start and its first poll as the engine would, and lets them rest.
 * Then takes them apart, one kind of memory after the other: what each gives back to malloc is what it took. Prints
 * bytes a run as JSON. What an engine holds beside a run is its struct life; SQLite, libcurl and malloc's gaps are not
 * here. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "../helpers/definition.h"
#include "run/life.h"
#include "run/mask.h"
#include "run/run.h"

#define BEGAN_MS INT64_C(1763880000000)
#define NAMES 2

static const struct bench_case {
    const char *name, *stage, *parameters, *caller, *start_reply, *poll_reply;
} cases[NAMES] = {
    {"bare",
     "name = \"slow\"; request = { method = \"POST\"; url = \"http://up.test/start\"; expect = \"2xx\"; };"
     "status = { url = \"http://up.test/slow\"; every = \"10s\"; timeout = \"2h\"; value = \"$.state\";"
     " running = [ \"running\" ]; success = [ \"done\" ]; };",
     "{}", "{}", "{\"id\": 4711, \"state\": \"done\", \"links\": {\"self\": \"/api/runs/4711\"}}",
     "{\"state\": \"running\", \"percent\": 40}"},
    {"usual",
     "name = \"job\"; parameters = ( { name = \"target\"; type = \"string\"; }, { name = \"users\"; type = "
     "\"integer\"; },"
     " { name = \"scenario\"; type = \"string\"; }, { name = \"notify\"; type = \"boolean\"; } );"
     "request = { method = \"POST\"; url = \"http://up.test/api/runs\"; expect = \"201\"; body = \"{ \\\"target\\\": {{"
     " parameters.target }}, \\\"by\\\": {{ caller.user }} }\"; };"
     "status = { url = \"http://up.test/api/runs/{{ request.body.id }}\"; every = \"10s\"; timeout = \"2h\";"
     " value = \"$.state\"; progress = \"$.percent\"; running = [ \"running\" ]; success = [ \"done\" ]; };"
     "cancel = { method = \"DELETE\"; url = \"http://up.test/api/runs/{{ request.body.id }}\"; };"
     "outputs = { id = \"{{ request.body.id }}\"; report = \"$.report\"; };",
     "{\"target\": \"https://shop.example.com\", \"users\": 250, \"scenario\": \"checkout\", \"notify\": true}",
     "{\"user\": \"jane.doe@example.com\", \"application\": \"shop\", \"pipeline\": \"Deploy to production\","
     " \"execution\": \"01KAW00000ABCDEFGHJKMNPQRS\"}",
     "{\"id\": 4711, \"state\": \"queued\", \"created\": \"2026-11-23T08:00:00Z\", \"owner\": {\"login\": \"jane.doe\","
     " \"id\": 815, \"url\": \"https://up.test/api/users/jane.doe\"}, \"links\": {\"self\": \"/api/runs/4711\","
     " \"log\": \"/api/runs/4711/log\", \"report\": \"/api/runs/4711/report\"}, \"tags\": [\"load\", \"nightly\"]}",
     "{\"state\": \"running\", \"percent\": 40, \"message\": \"ramping up\"}"},
};

static const struct json *parsed(struct arena *arena, const char *text) {
    static const struct json_limits limits = {.max_bytes = 65536, .max_depth = 64, .max_items = 10000};
    struct fault fault;
    const struct json *value = json_parse(arena, text_of(text), &limits, &fault);
    if (!value) fprintf(stderr, "%s\n", fault.what), exit(1);
    return value;
}

static void move(struct run *run, int64_t now_ms, const struct run_event *event) {
    struct run_world world = {.now_ms = now_ms, .random = 7};
    struct run_orders orders;
    run_move(run, event, &world, &orders);
}

static void answer(struct run *run, int64_t now_ms, int code, const char *body, const char *url) {
    static const struct reply_header headers[] = {{"Content-Type", "application/json"}, {"Server", "nginx/1.22.1"}};
    struct reply reply = {.phase = REPLY_ANSWERED,
                          .code = code,
                          .headers = headers,
                          .header_count = 2,
                          .body = text_of(body),
                          .url = url,
                          .took_ms = 3};
    move(run, now_ms, &(struct run_event){.kind = RUN_EVENT_REPLY, .reply = &reply});
}

static struct run *run_at_rest(const struct bench_case *c, struct stage *stage, unsigned number) {
    char id[STORE_ID_SIZE];
    struct arena *asked = arena_new(); /* what a request leaves behind is gone when the run rests */
    snprintf(id, sizeof id, "01KAW%021u", number);
    struct run_new from = {.stage = stage,
                           .fingerprint = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                           .traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                           .caller = parsed(asked, c->caller),
                           .parameters = parsed(asked, c->parameters),
                           .now_ms = BEGAN_MS};
    from.id = id;
    struct run *run = run_new(&from);
    arena_free(asked);
    move(run, BEGAN_MS + 2, &(struct run_event){.kind = RUN_EVENT_STORED});
    arena_free(run_take_fresh(run));
    answer(run, BEGAN_MS + 5, 201, c->start_reply, "http://up.test/api/runs");
    move(run, BEGAN_MS + 8, &(struct run_event){.kind = RUN_EVENT_STORED});
    if (run->state == RUN_WAITING) move(run, BEGAN_MS + 9, &(struct run_event){.kind = RUN_EVENT_DUE});
    answer(run, BEGAN_MS + 12, 200, c->poll_reply, "http://up.test/api/runs/4711");
    if (run->state != RUN_WAITING) fprintf(stderr, "%s: %s\n", run_state_word(run->state), run->progress), exit(1);
    return run;
}

static double held(void) {
    return (double)mallinfo2().uordblks;
}

/* What this thread keeps of memory that is free is kept by then: all else goes back to malloc. */
static void fill_spares(const struct bench_case *c, struct stage *stage, unsigned count) {
    struct run **runs = malloc(count * sizeof *runs);
    for (unsigned i = 0; i < count; i++) runs[i] = run_at_rest(c, stage, i);
    for (unsigned i = 0; i < count; i++) run_free(runs[i]);
    free(runs);
}

static void measure(const struct bench_case *c, unsigned count) {
    struct stage *stage = definition_must("stages.d/bench.conf", c->stage);
    struct run **runs = malloc(count * sizeof *runs);
    run_free(run_at_rest(c, stage, 0)); /* what is made once for all is made now */
    double before = held();
    for (unsigned i = 0; i < count; i++) runs[i] = run_at_rest(c, stage, i);
    double all = held() - before, arena = 0;
    for (unsigned i = 0; i < count; i++) arena += (double)arena_bytes(runs[i]->arena);
    fill_spares(c, stage, count);
    double then = held();
    for (unsigned i = 0; i < count; i++) journal_fini(&runs[i]->journal);
    double journal = then - held();
    then = held();
    for (unsigned i = 0; i < count; i++) {
        mem_free(runs[i]->progress);
        mem_free(runs[i]->upstream_word);
        runs[i]->progress = runs[i]->upstream_word = NULL;
    }
    double texts = then - held();
    for (unsigned i = 0; i < count; i++) run_free(runs[i]);
    free(runs);
    stage_unref(stage);
    printf("\"%s\": {\"run\": %.0f, \"of_it_arena\": %.0f, \"journal\": %.0f, \"texts\": %.0f, \"values\": %.0f, "
           "\"left\": %.0f}",
           c->name, all / count, arena / count, journal / count, texts / count, (all - arena - journal - texts) / count,
           (held() - before) / count);
}

int main(int argc, char **argv) {
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000;
    if (argc > 2 || !count) return fputs("usage: bench_memory RUNS\n", stderr), 2;
    printf("{\"struct_run\": %zu, \"struct_step\": %zu, \"struct_life\": %zu, ", sizeof(struct run),
           sizeof(struct run_step), sizeof(struct life));
    for (unsigned i = 0; i < NAMES; i++) {
        if (i) printf(", ");
        measure(&cases[i], count);
    }
    printf("}\n");
    return 0;
}
