/* The gate on a clock of its own: who goes, who waits, in which order, and what is told. Then chance: many tickets,
 * against a count of what is at work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/text.h"
#include "run/gate.h"

struct bench {
    struct gate *gate;
    int64_t now_ms;
    unsigned woken[2];
};

static void on_wake(void *arg) {
    (*(unsigned *)arg)++;
}

static void begin(struct bench *bench) {
    *bench = (struct bench){.gate = gate_new(2), .now_ms = 1000};
    for (unsigned i = 0; i < 2; i++) gate_sit(bench->gate, i, on_wake, &bench->woken[i]);
    gate_open(bench->gate, bench->now_ms);
}

static void tune(struct bench *bench, struct gate_want want, const char *settings) {
    struct limits limits;
    struct text rest = text_of(settings), word, name;
    limits_init(&limits);
    while (rest.len && text_cut(&rest, ' ', &word)) {
        struct text value = word;
        text_cut(&value, '=', &name);
        assert_true(limits_set(&limits, name, value, NULL));
    }
    gate_tune(bench->gate, &want, &limits, bench->now_ms);
}

static const struct gate_want runs = {.kind = GATE_RUNS, .stage = "job"};
static const struct gate_want calls = {.kind = GATE_CALLS, .stage = "job"};
static const struct gate_want host = {.kind = GATE_HOST, .name = "up.test"};

static struct gate_want same(const char *key) {
    return (struct gate_want){.kind = GATE_SAME, .stage = "job", .name = key};
}

static enum gate_answer enter(struct bench *bench, struct gate_ticket *ticket, struct gate_want first,
                              const struct gate_want *second, enum gate_mode mode) {
    const struct gate_want wants[] = {first, second ? *second : first};
    char taken[STORE_ID_SIZE];
    return gate_enter(bench->gate, ticket, wants, second ? 2 : 1, mode, bench->now_ms, taken);
}

static enum gate_answer come(struct bench *bench, struct gate_ticket *ticket, struct gate_want want) {
    return enter(bench, ticket, want, NULL, GATE_QUEUE);
}

static void leave(struct bench *bench, struct gate_ticket *ticket) {
    gate_leave(bench->gate, ticket, VALVE_NONE, bench->now_ms);
}

static void assert_next(struct bench *bench, unsigned seat, const struct gate_ticket *ticket) {
    assert_ptr_equal(gate_next(bench->gate, seat), ticket);
}

static void assert_place(struct bench *bench, struct gate_ticket *ticket, size_t rank, size_t count, enum valve_why why,
                         int64_t wait_ms) {
    struct gate_place place;
    assert_true(gate_place(bench->gate, ticket, bench->now_ms, &place));
    assert_int_equal(place.rank, rank);
    assert_int_equal(place.count, count);
    assert_int_equal(place.why, why);
    assert_int_equal(place.wait_ms, wait_ms);
}

static void pass(struct bench *bench, int64_t ms) {
    bench->now_ms += ms;
    gate_advance(bench->gate, bench->now_ms);
}

static void test_first_come_first_served(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[5] = {{.seat = 0}, {.seat = 1}, {.seat = 0}, {.seat = 1}, {.seat = 1}};
    struct gate_place place;
    begin(&bench);
    tune(&bench, runs, "concurrency=2");
    assert_int_equal(come(&bench, &t[0], runs), GATE_ANSWER_GOES);
    assert_int_equal(come(&bench, &t[1], runs), GATE_ANSWER_GOES);
    for (int i = 2; i < 5; i++) assert_int_equal(come(&bench, &t[i], runs), GATE_ANSWER_WAITS);
    assert_place(&bench, &t[4], 3, 3, VALVE_BUSY, -1);
    assert_false(gate_place(bench.gate, &t[0], bench.now_ms, &place));
    assert_int_equal(gate_due(bench.gate), 0);
    unsigned before = bench.woken[0];
    leave(&bench, &t[1]);
    assert_int_equal(bench.woken[0], before + 1);
    assert_next(&bench, 0, &t[2]);
    assert_next(&bench, 0, NULL);
    assert_next(&bench, 1, NULL);
    leave(&bench, &t[3]); /* gives up */
    assert_place(&bench, &t[4], 1, 1, VALVE_BUSY, -1);
    leave(&bench, &t[0]);
    leave(&bench, &t[4]); /* before it has heard of it */
    assert_next(&bench, 1, NULL);
    leave(&bench, &t[2]);
    leave(&bench, &t[2]); /* an idle one may leave */
    gate_free(bench.gate);
}

static void test_full(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[5] = {0};
    begin(&bench);
    tune(&bench, runs, "concurrency=1 queue=1");
    assert_int_equal(come(&bench, &t[0], runs), GATE_ANSWER_GOES);
    assert_int_equal(come(&bench, &t[1], runs), GATE_ANSWER_WAITS);
    assert_int_equal(come(&bench, &t[2], runs), GATE_ANSWER_FULL);
    assert_int_equal(enter(&bench, &t[3], runs, NULL, GATE_RESUME), GATE_ANSWER_WAITS);
    assert_int_equal(enter(&bench, &t[4], runs, NULL, GATE_FORCE), GATE_ANSWER_GOES);
    leave(&bench, &t[0]);
    assert_next(&bench, 0, NULL); /* the one that was forced in counts */
    leave(&bench, &t[4]);
    assert_next(&bench, 0, &t[1]);
    assert_next(&bench, 0, NULL);
    for (int i = 1; i < 5; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

static void test_rate_and_its_time(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[4] = {0};
    begin(&bench);
    tune(&bench, runs, "rate=2/s");
    assert_int_equal(come(&bench, &t[0], runs), GATE_ANSWER_GOES);
    for (int i = 1; i < 4; i++) assert_int_equal(come(&bench, &t[i], runs), GATE_ANSWER_WAITS);
    assert_int_equal(gate_due(bench.gate), bench.now_ms + 501);
    assert_place(&bench, &t[3], 3, 3, VALVE_RATE, 1501);
    pass(&bench, 400);
    assert_next(&bench, 0, NULL);
    pass(&bench, 101);
    assert_next(&bench, 0, &t[1]);
    assert_next(&bench, 0, NULL);
    bench.now_ms -= 300; /* a loop whose clock is behind */
    gate_advance(bench.gate, bench.now_ms);
    assert_next(&bench, 0, NULL);
    pass(&bench, 3000);
    assert_next(&bench, 0, &t[2]); /* late as it is, one at a time */
    assert_next(&bench, 0, NULL);
    tune(&bench, runs, "");
    assert_next(&bench, 0, &t[3]);
    for (int i = 0; i < 4; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

/* A gap holds up those that change things, and nobody else. */
static void test_gap_beside_polls(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[5] = {{.changes = true}, {.changes = true}, {.changes = true}};
    begin(&bench);
    tune(&bench, host, "gap=1s");
    assert_int_equal(come(&bench, &t[0], host), GATE_ANSWER_GOES);
    assert_int_equal(come(&bench, &t[1], host), GATE_ANSWER_WAITS);
    assert_int_equal(come(&bench, &t[2], host), GATE_ANSWER_WAITS);
    assert_int_equal(come(&bench, &t[3], host), GATE_ANSWER_GOES);
    assert_place(&bench, &t[2], 2, 2, VALVE_GAP, 2000);
    pass(&bench, 1000);
    assert_next(&bench, 0, &t[1]);
    assert_next(&bench, 0, NULL);
    pass(&bench, 999);
    assert_next(&bench, 0, NULL);
    pass(&bench, 1);
    assert_next(&bench, 0, &t[2]);
    for (int i = 0; i < 5; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

/* A call waits for its host and its stage; one that waits for its stage only lets others to the host. */
static void test_two_lines(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[5] = {
        {.changes = true}, {.changes = true}, {.changes = true}, {.changes = true}, {.changes = true}};
    begin(&bench);
    tune(&bench, host, "concurrency=2");
    tune(&bench, calls, "gap=1s");
    assert_int_equal(enter(&bench, &t[0], host, &calls, GATE_QUEUE), GATE_ANSWER_GOES);
    assert_int_equal(enter(&bench, &t[1], host, &calls, GATE_QUEUE), GATE_ANSWER_WAITS);
    assert_place(&bench, &t[1], 1, 1, VALVE_GAP, 1000);
    assert_int_equal(come(&bench, &t[2], host), GATE_ANSWER_WAITS); /* behind it, … */
    assert_next(&bench, 0, &t[2]);                                  /* … but not held up by it */
    assert_int_equal(come(&bench, &t[3], host), GATE_ANSWER_WAITS);
    leave(&bench, &t[0]);
    assert_next(&bench, 0, &t[3]);
    pass(&bench, 1000);
    assert_next(&bench, 0, NULL); /* the host is full */
    assert_place(&bench, &t[1], 1, 1, VALVE_BUSY, -1);
    leave(&bench, &t[2]);
    assert_next(&bench, 0, &t[1]);
    for (int i = 0; i < 5; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

static void test_breaker_lets_a_calm_call_find_out(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[4] = {{.changes = true}, {.changes = true}};
    begin(&bench);
    tune(&bench, host, "breaker.minimum=1 breaker.pause=10s");
    assert_int_equal(come(&bench, &t[3], host), GATE_ANSWER_GOES);
    gate_leave(bench.gate, &t[3], VALVE_BAD, bench.now_ms);
    assert_int_equal(come(&bench, &t[0], host), GATE_ANSWER_WAITS);
    assert_int_equal(come(&bench, &t[2], host), GATE_ANSWER_WAITS);
    assert_place(&bench, &t[0], 1, 1, VALVE_BROKEN, 10000);
    assert_int_equal(gate_due(bench.gate), bench.now_ms + 10000);
    pass(&bench, 10000);
    assert_next(&bench, 0, &t[2]); /* it came later, and does no harm */
    assert_next(&bench, 0, NULL);
    assert_place(&bench, &t[0], 1, 1, VALVE_BROKEN, -1);
    gate_leave(bench.gate, &t[2], VALVE_GOOD, bench.now_ms);
    assert_next(&bench, 0, &t[0]);
    for (int i = 0; i < 4; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

static void test_same_work(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[5] = {{.id = "A"}, {.id = "B"}, {.id = "C"}, {.id = "D"}, {.id = "E"}};
    char ids[4][STORE_ID_SIZE], taken[STORE_ID_SIZE];
    struct gate_want x = same("x"), y = same("y");
    begin(&bench);
    assert_int_equal(enter(&bench, &t[0], x, NULL, GATE_ALONE), GATE_ANSWER_GOES);
    assert_int_equal(gate_enter(bench.gate, &t[1], &x, 1, GATE_ALONE, 0, taken), GATE_ANSWER_TAKEN);
    assert_string_equal(taken, "A");
    assert_int_equal(come(&bench, &t[1], x), GATE_ANSWER_WAITS);
    assert_int_equal(come(&bench, &t[2], x), GATE_ANSWER_WAITS);
    assert_int_equal(enter(&bench, &t[3], y, NULL, GATE_ALONE), GATE_ANSWER_GOES);
    assert_int_equal(gate_before(bench.gate, &t[2], ids, 4), 2);
    assert_string_equal(ids[0], "B");
    assert_string_equal(ids[1], "A");
    leave(&bench, &t[0]);
    assert_next(&bench, 0, &t[1]);
    assert_next(&bench, 0, NULL);
    leave(&bench, &t[1]);
    leave(&bench, &t[2]); /* in the box */
    assert_next(&bench, 0, NULL);
    assert_int_equal(enter(&bench, &t[4], x, NULL, GATE_ALONE), GATE_ANSWER_GOES); /* nobody has it any more */
    for (int i = 0; i < 5; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

/* In the stage's line, who waits for the same work lets others pass. */
static void test_same_work_within_limits(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[4] = {0};
    struct gate_want x = same("x"), y = same("y");
    begin(&bench);
    tune(&bench, runs, "concurrency=2");
    assert_int_equal(enter(&bench, &t[0], runs, &x, GATE_QUEUE), GATE_ANSWER_GOES);
    assert_int_equal(enter(&bench, &t[1], runs, &x, GATE_QUEUE), GATE_ANSWER_WAITS);
    assert_place(&bench, &t[1], 1, 1, VALVE_BUSY, -1);
    assert_int_equal(enter(&bench, &t[2], runs, &y, GATE_QUEUE), GATE_ANSWER_WAITS);
    assert_next(&bench, 0, &t[2]);
    assert_int_equal(enter(&bench, &t[3], runs, &y, GATE_QUEUE), GATE_ANSWER_WAITS);
    leave(&bench, &t[2]);
    assert_next(&bench, 0, &t[3]);
    leave(&bench, &t[0]);
    assert_next(&bench, 0, &t[1]);
    for (int i = 0; i < 4; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

/* After a restart: those at work have their places before anybody who waits is let in. */
static void test_closed_at_first(void **state) {
    (void)state;
    struct bench bench = {.gate = gate_new(1), .now_ms = 5};
    struct gate_ticket t[3] = {0};
    tune(&bench, runs, "concurrency=1");
    assert_int_equal(enter(&bench, &t[0], runs, NULL, GATE_RESUME), GATE_ANSWER_WAITS);
    assert_int_equal(enter(&bench, &t[1], runs, NULL, GATE_RESUME), GATE_ANSWER_WAITS);
    assert_int_equal(enter(&bench, &t[2], runs, NULL, GATE_FORCE), GATE_ANSWER_GOES);
    gate_open(bench.gate, 5);
    assert_next(&bench, 0, NULL);
    leave(&bench, &t[2]);
    assert_next(&bench, 0, &t[0]);
    leave(&bench, &t[0]);
    assert_next(&bench, 0, &t[1]);
    leave(&bench, &t[1]);
    gate_free(bench.gate);
}

/* After a restart, loops bring those who waited in any order: they wait in the order in which they came before. */
static void test_back_in_order(void **state) {
    (void)state;
    static const int orders[][4] = {{1, 2, 3, 4}, {4, 3, 2, 1}, {2, 4, 1, 3}, {3, 1, 4, 2}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct bench bench = {.gate = gate_new(1), .now_ms = 5};
        struct gate_ticket t[6] = {0};
        char ids[6][STORE_ID_SIZE];
        const struct gate_want key = same("a");
        tune(&bench, runs, "concurrency=1");
        for (int j = 0; j < 4; j++) {
            struct gate_ticket *ticket = &t[orders[i][j]];
            ticket->number = (uint64_t)orders[i][j];
            snprintf(ticket->id, sizeof ticket->id, "%d", orders[i][j]);
            enum gate_mode mode = ticket->number == 1 ? GATE_BACK : GATE_RESUME;
            assert_int_equal(enter(&bench, ticket, runs, &key, mode),
                             mode == GATE_BACK ? GATE_ANSWER_GOES : GATE_ANSWER_WAITS);
        }
        gate_open(bench.gate, 5);
        assert_int_equal(enter(&bench, &t[5], runs, &key, GATE_QUEUE), GATE_ANSWER_WAITS); /* behind all of them */
        assert_int_equal(gate_before(bench.gate, &t[5], ids, 6), 4);
        for (int j = 0; j < 4; j++) assert_int_equal(ids[j][0], '4' - j);
        assert_place(&bench, &t[2], 1, 4, VALVE_BUSY, -1);
        assert_place(&bench, &t[5], 4, 4, VALVE_BUSY, -1);
        for (int j = 1; j <= 5; j++) {
            leave(&bench, &t[j]);
            assert_next(&bench, 0, j < 5 ? &t[j + 1] : NULL);
        }
        gate_free(bench.gate);
    }
}

/* Who went before a restart has its place, and is no beginning. */
static void test_back(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[5] = {0};
    begin(&bench);
    tune(&bench, runs, "rate=1/s concurrency=4");
    for (int i = 0; i < 3; i++) assert_int_equal(enter(&bench, &t[i], runs, NULL, GATE_BACK), GATE_ANSWER_GOES);
    assert_int_equal(come(&bench, &t[3], runs), GATE_ANSWER_GOES);
    pass(&bench, 5000);
    assert_int_equal(come(&bench, &t[4], runs), GATE_ANSWER_WAITS);
    assert_place(&bench, &t[4], 1, 1, VALVE_BUSY, -1);
    leave(&bench, &t[0]);
    assert_next(&bench, 0, &t[4]);
    for (int i = 1; i < 5; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

/* What was let go may have to be recorded before it leaves: the gap is one between calls, not between permissions. */
static void test_gap_from_when_it_leaves(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[3] = {{.changes = true}, {.changes = true}, {.changes = true}};
    begin(&bench);
    tune(&bench, runs, "gap=300ms");
    assert_int_equal(come(&bench, &t[0], runs), GATE_ANSWER_GOES);
    for (int i = 1; i < 3; i++) assert_int_equal(come(&bench, &t[i], runs), GATE_ANSWER_WAITS);
    pass(&bench, 300);
    assert_next(&bench, 0, &t[1]);
    bench.now_ms += 50;
    gate_begin(bench.gate, &t[1], bench.now_ms);
    pass(&bench, 250);
    assert_next(&bench, 0, NULL);
    assert_int_equal(gate_due(bench.gate), bench.now_ms + 50);
    pass(&bench, 50);
    assert_next(&bench, 0, &t[2]);
    for (int i = 0; i < 3; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

/* However many they are, the last ones are named. */
static void test_before(void **state) {
    (void)state;
    struct bench bench;
    struct gate_ticket t[4] = {{.id = "one"}, {.id = "two"}, {.id = "three"}, {.id = "four"}};
    char ids[2][STORE_ID_SIZE];
    begin(&bench);
    for (int i = 0; i < 4; i++) come(&bench, &t[i], same("a"));
    assert_int_equal(gate_before(bench.gate, &t[0], ids, 2), 0);
    assert_int_equal(gate_before(bench.gate, &t[3], ids, 2), 2);
    assert_string_equal(ids[0], "three");
    assert_string_equal(ids[1], "two");
    leave(&bench, &t[2]);
    assert_int_equal(gate_before(bench.gate, &t[3], ids, 2), 2);
    assert_string_equal(ids[0], "two");
    for (int i = 0; i < 4; i++) leave(&bench, &t[i]);
    gate_free(bench.gate);
}

/* The same for work that is the same: who waits may have nobody before him any more. */
static void test_closed_at_first_with_the_same_work(void **state) {
    (void)state;
    struct bench bench = {.gate = gate_new(1), .now_ms = 5};
    struct gate_ticket t[4] = {0};
    assert_int_equal(enter(&bench, &t[0], same("a"), NULL, GATE_RESUME), GATE_ANSWER_WAITS);
    assert_int_equal(enter(&bench, &t[1], same("a"), NULL, GATE_RESUME), GATE_ANSWER_WAITS);
    assert_int_equal(enter(&bench, &t[2], same("b"), NULL, GATE_FORCE), GATE_ANSWER_GOES);
    assert_int_equal(enter(&bench, &t[3], same("b"), NULL, GATE_RESUME), GATE_ANSWER_WAITS);
    gate_open(bench.gate, 5);
    assert_next(&bench, 0, &t[0]);
    assert_next(&bench, 0, NULL);
    leave(&bench, &t[0]);
    assert_next(&bench, 0, &t[1]);
    leave(&bench, &t[2]);
    assert_next(&bench, 0, &t[3]);
    leave(&bench, &t[1]);
    leave(&bench, &t[3]);
    gate_free(bench.gate);
}

static void test_hosts(void **state) {
    (void)state;
    struct bench bench;
    struct limits_upstream hosts[2] = {{.host = "up.test"}, {.host = "ci:8443"}};
    struct gate_ticket t[2] = {0};
    begin(&bench);
    assert_false(gate_has_hosts(bench.gate));
    limits_init(&hosts[0].limits);
    limits_init(&hosts[1].limits);
    hosts[0].limits.concurrency = hosts[1].limits.concurrency = 1;
    gate_tune_hosts(bench.gate, hosts, 2, bench.now_ms);
    assert_true(gate_has_hosts(bench.gate));
    assert_true(gate_knows_host(bench.gate, "ci:8443"));
    assert_false(gate_knows_host(bench.gate, "ci"));
    assert_int_equal(come(&bench, &t[0], host), GATE_ANSWER_GOES);
    assert_int_equal(come(&bench, &t[1], host), GATE_ANSWER_WAITS);
    gate_tune_hosts(bench.gate, hosts + 1, 1, bench.now_ms); /* up.test is free now */
    assert_next(&bench, 0, &t[1]);
    leave(&bench, &t[0]);
    leave(&bench, &t[1]);
    gate_free(bench.gate);
}

/* ---- chance ---- */

#define TICKETS 60
#define KEYS 3

static uint32_t chance(uint64_t *seed, uint32_t n) { /* splitmix64 */
    uint64_t z = *seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((z >> 32) * n >> 32);
}

struct crowd {
    struct gate_ticket tickets[TICKETS];
    enum { OUT, WAITS, GOES } now[TICKETS];
    int key[TICKETS];
    int64_t came[TICKETS], turn, last_start_ms;
    int at_work, at_key[KEYS];
};

static void note_start(struct crowd *crowd, int i, int64_t now_ms) {
    crowd->now[i] = GOES;
    assert_true(++crowd->at_work <= 4);
    assert_true(++crowd->at_key[crowd->key[i]] <= 1);
    assert_true(now_ms - crowd->last_start_ms >= 10);
    crowd->last_start_ms = now_ms;
    for (int j = 0; j < TICKETS; j++) /* nobody who could go as well has come before it */
        if (crowd->now[j] == WAITS && crowd->came[j] < crowd->came[i])
            assert_int_equal(crowd->at_key[crowd->key[j]], 1);
}

static void crowd_leave(struct bench *bench, struct crowd *crowd, int i) {
    if (crowd->now[i] == GOES) crowd->at_work--, crowd->at_key[crowd->key[i]]--;
    crowd->now[i] = OUT;
    leave(bench, &crowd->tickets[i]);
}

static void crowd_come(struct bench *bench, struct crowd *crowd, uint64_t *seed, int i) {
    static const char *const keys[KEYS] = {"a", "b", "c"};
    crowd->key[i] = (int)chance(seed, KEYS);
    crowd->came[i] = ++crowd->turn;
    crowd->now[i] = WAITS;
    struct gate_want key = same(keys[crowd->key[i]]);
    if (enter(bench, &crowd->tickets[i], runs, &key, GATE_QUEUE) == GATE_ANSWER_GOES)
        note_start(crowd, i, bench->now_ms);
}

static void take_out(struct bench *bench, struct crowd *crowd) {
    for (unsigned seat = 0; seat < 2; seat++)
        for (struct gate_ticket *ticket; (ticket = gate_next(bench->gate, seat));)
            note_start(crowd, (int)(ticket - crowd->tickets), bench->now_ms);
}

static void test_chance(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t random = seed;
        struct bench bench;
        struct crowd crowd = {.last_start_ms = -1000};
        begin(&bench);
        tune(&bench, runs, "concurrency=4 rate=100/s");
        for (int i = 0; i < TICKETS; i++) crowd.tickets[i].seat = (unsigned)i % 2;
        int starts = 0;
        for (int step = 0; step < 400; step++) {
            int i = (int)chance(&random, TICKETS);
            if (chance(&random, 3) == 0) pass(&bench, chance(&random, 15));
            else if (crowd.now[i] == OUT) crowd_come(&bench, &crowd, &random, i);
            else if (crowd.now[i] == GOES || chance(&random, 8) == 0) crowd_leave(&bench, &crowd, i);
            take_out(&bench, &crowd);
            starts += crowd.last_start_ms == bench.now_ms;
        }
        assert_true(starts > 10);
        for (int n = 0; n < 4 * TICKETS; n++) { /* whoever waits gets there */
            for (int i = 0; i < TICKETS; i++) {
                if (crowd.now[i] == GOES) crowd_leave(&bench, &crowd, i);
                take_out(&bench, &crowd);
            }
            pass(&bench, 11);
            take_out(&bench, &crowd);
        }
        for (int i = 0; i < TICKETS; i++) {
            if (crowd.now[i] == WAITS) fail_msg("seed %llu: ticket %d waits for ever", (unsigned long long)seed, i);
            crowd_leave(&bench, &crowd, i);
        }
        gate_free(bench.gate);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_rate_and_its_time),
        cmocka_unit_test(test_gap_beside_polls),
        cmocka_unit_test(test_two_lines),
        cmocka_unit_test(test_breaker_lets_a_calm_call_find_out),
        cmocka_unit_test(test_same_work),
        cmocka_unit_test(test_same_work_within_limits),
        cmocka_unit_test(test_closed_at_first),
        cmocka_unit_test(test_back_in_order),
        cmocka_unit_test(test_back),
        cmocka_unit_test(test_before),
        cmocka_unit_test(test_gap_from_when_it_leaves),
        cmocka_unit_test(test_closed_at_first_with_the_same_work),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
