/* The model test: random definitions, a random upstream, faults at every point, and the promises of DESIGN.md section 6
 * held against what the upstream counted.
 *
 *   model              COUNT scenarios (20,000) from SEED (1) on
 *   SEED=7 COUNT=1     exactly one, told step by step
 *
 * A scenario is one world (world.h) and all of it comes from its seed: real engines, questions, gate and records, with
 * a clock, a disk and an upstream that are data. Calls fail in every phase; the process is killed or stopped at any
 * moment, and goes on with what was durable; cancels, looks, repeated starts and callbacks come in between; the wall
 * clock jumps; the disk fills up; the definition is replaced. The first scenario that breaks a promise (checks.h) is
 * told anew, step by step, and is the end. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "back/secrets.h"
#include "checks.h"
#include "world.h"

#define EVENTS_MAX 60000
#define HANG_S 300 /* of real time; a scenario takes a millisecond */
#define BOUND_MS \
    (2 * 60 * 60 * 1000) /* of virtual time, from the last disturbance on: runs of a queue follow each other */

struct totals {
    uint64_t runs, succeeded, terminal, canceled, restarts, events;
};

static struct totals totals;
static char **arguments;

_Noreturn void scenario_failed(enum check check, const char *what);
_Noreturn void scenario_failed(enum check check, const char *what) {
    fflush(stdout);
    if (!world.tracing) {
        char seed[24];
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)world.seed);
        setenv("SEED", seed, 1);
        setenv("COUNT", "1", 1);
        execv("/proc/self/exe", arguments);
    }
    printf("\nFAILED %s (%s)\n%s\nSEED=%llu COUNT=1 does this again\n0 passed, 1 failed\n", check_word(check),
           check_text(check), what, (unsigned long long)world.seed);
    fflush(stdout);
    _exit(1);
}

/* A crash or a hang of the code itself: the seed at least. */
static void on_signal(int number) {
    dprintf(STDOUT_FILENO, "\nFAILED by signal %d\nSEED=%llu COUNT=1 does this again\n0 passed, 1 failed\n", number,
            (unsigned long long)world.seed);
    _exit(1);
}

#ifdef MEM_SINGLE
void __asan_on_error(void); /* the sanitizer tells where; and then this */
void __asan_on_error(void) {
    dprintf(STDOUT_FILENO, "SEED=%llu COUNT=1 does this again\n", (unsigned long long)world.seed);
}
static const int numbers[] = {SIGABRT, SIGALRM};
#else
static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
#endif

static void watch_signals(void) {
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) signal(numbers[i], on_signal);
}

/* ---- disturbances ---- */

static void restart(bool kill) {
    world.restarts++;
    if (kill) world_kill();
    else world_stop();
    world.mono_ms += below(one_in(3) ? 60000 : 500);
    if (one_in(8)) world_replace_definition();
    TRACE("---- boot");
    world_boot();
}

static void set_clock(void) {
    int64_t by_ms = (int64_t)below(1200000) - 600000;
    world.jumps++;
    world.wall_off_ms += by_ms;
    if (by_ms < 0) world.set_back_ms -= by_ms;
    TRACE("---- the wall clock is set by %lld ms", (long long)by_ms);
    world.quiet_until_ms = 0;
    for (size_t i = 0; i < world.seen_count; i++)
        for (size_t j = 0; j < WORLD_STEPS; j++)
            world.seen[i].steps[j].calm = false;                               /* polls keep to a grid of this clock */
    for (size_t i = 0; i < world.job_count; i++) world.jobs[i].visible_ms = 0; /* not_found_grace goes by this clock */
}

static void disturb(void) {
    world.last_disturbance_ms = world.mono_ms;
    switch (below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: restart(true); break;
    case 5: restart(false); break;
    case 6:
    case 7:
    case 8:
    case 9: client_cancel(); break;
    case 10: client_start(); break;
    case 11:
        if (one_in(2)) set_clock();
        break;
    case 12:
        world.breaks++;
        world.broken_until_ms = world.mono_ms + 1 + below(20000);
        TRACE("---- the disk is full until %lld", (long long)world.broken_until_ms);
        break;
    case 13:
        world.down_until_ms = world.mono_ms + below(15000);
        TRACE("---- the upstream is down until %lld", (long long)world.down_until_ms);
        break;
    case 14:
        world_replace_definition();
        TRACE("---- the definition is replaced");
        break;
    default: client_look(); break;
    }
}

/* ---- a scenario ---- */

static bool runs_are_over(void) {
    for (size_t i = 0; i < world.image_count; i++)
        if (!world.images[i].record.ended_ms) return false;
    return !world.starts_left && !world.op_count && !world.post_count && !client_waits();
}

static void check_bound(void) {
    int64_t bound_ms = world.last_disturbance_ms + BOUND_MS + world.set_back_ms;
    if (world.mono_ms <= bound_ms && world.events < EVENTS_MAX) return;
    for (size_t i = 0; i < world.image_count; i++)
        check(CHECK_ENDS, world.images[i].record.ended_ms, "%s does not end: %.*s", world.images[i].record.id,
              TEXT_ARG(world.images[i].record.body));
    check(CHECK_ENDS, false, "something goes on behind the end");
}

static void count_runs(void) {
    for (size_t i = 0; i < world.image_count; i++) {
        const char *status = world.images[i].record.status;
        totals.runs++;
        totals.succeeded += strcmp(status, "SUCCEEDED") == 0;
        totals.terminal += strcmp(status, "TERMINAL") == 0;
        totals.canceled += strcmp(status, "CANCELED") == 0;
        checked[CHECK_ENDS]++;
    }
    totals.restarts += world.restarts;
    totals.events += world.events;
}

static void scenario(uint64_t seed) {
    alarm(HANG_S);
    world_begin(seed);
    while (!runs_are_over()) {
        world.events++;
        if (world.disturbances && one_in(world.every)) {
            world.disturbances--;
            disturb();
        } else if (!world_next()) {
            check(CHECK_ENDS, runs_are_over(), "nothing is going to happen any more");
        }
        check_bound();
    }
    check_end();
    count_runs();
    world_end();
}

static uint64_t setting(const char *name, uint64_t preset) {
    const char *value = getenv(name);
    return value && value[0] ? strtoull(value, NULL, 10) : preset;
}

static bool all_were_looked_at(void) {
    bool all = true;
    for (int i = 0; i < CHECK_COUNT; i++) {
        printf("%12llu  %-16s %s\n", (unsigned long long)checked[i], check_word((enum check)i),
               check_text((enum check)i));
        if (!checked[i]) all = false;
    }
    return all;
}

int main(int argc, char **argv) {
    (void)argc;
    struct fault fault;
    uint64_t seed = setting("SEED", 1), count = setting("COUNT", 20000);
    arguments = argv;
    watch_signals();
    setvbuf(stdout, NULL, _IOLBF, 0);
    world.tracing = count == 1;
    setenv("STAGEDOOR_SECRET_TOKEN", SECRET_TOKEN, 1);
    setenv("STAGEDOOR_SECRET_HOOK", SECRET_HOOK, 1);
    if (!secrets_load(NULL, &fault)) return 2;
    for (uint64_t i = 0; i < count; i++) scenario(seed + i);
    bool all = all_were_looked_at();
    printf("%llu runs: %llu succeeded, %llu failed, %llu canceled; %llu restarts, %llu events\n",
           (unsigned long long)totals.runs, (unsigned long long)totals.succeeded, (unsigned long long)totals.terminal,
           (unsigned long long)totals.canceled, (unsigned long long)totals.restarts, (unsigned long long)totals.events);
    bool vacuous = count >= 20000 && !all;
    if (vacuous) puts("a check was never looked at");
    printf("%llu passed, %d failed\n", (unsigned long long)count, vacuous);
    world_fini();
    secrets_unload();
    return vacuous;
}
