/* Lines and tickets, under one lock.
 *
 * Whatever may let somebody go on (a place that is free, a limit that changed, the time) goes through every line that
 * has limits by time or number, oldest ticket first; there are as many of them as stages and hosts with limits, so few.
 * GATE_SAME lines, of which there may be one a run, are looked at only where one of their tickets leaves, and all of
 * them when the gate opens. Ranks are told to people, so they are counted anew at most as often as that costs little.
 *
 * Always holds: a ticket is IDLE and in no list; or WAITS in the first of its lines; or GOES, is counted by all of its
 * lines, and is in its seat's box until the seat has taken it out. */
#include "run/gate.h"

#include <pthread.h>
#include <string.h>

#include "base/count.h"
#include "base/index.h"
#include "base/mem.h"
#include "base/text.h"

struct list {
    struct gate_ticket *first, *last;
};

struct gate_line {
    struct index_link link;
    struct gate_line *next;     /* of the lines with limits; of GATE_SAME: of those */
    struct gate_line *previous; /* of GATE_SAME */
    enum gate_kind kind;
    char *stage, *name;
    char *label; /* of its counters; NULL: it has none */
    struct valve valve;
    struct list lists[2]; /* of tickets that do not change things, and of those that do */
    bool breaks;          /* it has a breaker, or had one: its counter tells */
    size_t waiting[2], tickets;
    struct gate_ticket *mates, *last_mate; /* of GATE_SAME: in the order of coming */
    bool changed[2];                       /* since the ranks were counted */
    int64_t ranked_ms[2];
};

struct seat {
    struct list box;
    void (*wake)(void *arg);
    void *arg;
};

struct gate {
    pthread_mutex_t lock;
    struct index by_name;
    struct gate_line *lines, *sames;
    struct seat *seats;
    unsigned seat_count;
    bool open;
    bool has_hosts; /* atomic */
    int64_t due_ms; /* atomic */
    int64_t now_ms; /* the latest that anybody has said: loops read their clocks once a pass */
    uint64_t turn;
};

/* ---- lines ---- */

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_line(const void *owner, const void *arg) {
    const struct gate_line *line = owner;
    const struct gate_want *want = arg;
    return line->kind == want->kind && same_text(line->stage, want->stage) && same_text(line->name, want->name);
}

static uint32_t hash_of(const struct gate_want *want) {
    return index_hash(text_of(want->stage ? want->stage : ""), text_of(want->name ? want->name : "")) + want->kind;
}

static struct gate_line *line_find(const struct gate *gate, const struct gate_want *want) {
    return index_find(&gate->by_name, hash_of(want), same_line, want);
}

static char *label_of(const struct gate_want *want) {
    static const char *const words[] = {[GATE_RUNS] = "stage ", [GATE_CALLS] = "calls of ", [GATE_HOST] = "host "};
    if (want->kind == GATE_SAME) return NULL;
    struct buf text;
    buf_init(&text, 1024);
    buf_addf(&text, "%s%s", words[want->kind], want->kind == GATE_HOST ? want->name : want->stage);
    return buf_take(&text);
}

static struct gate_line *line_of(struct gate *gate, const struct gate_want *want) {
    struct gate_line *line = line_find(gate, want);
    if (line) return line;
    line = mem_alloc(sizeof *line);
    line->kind = want->kind;
    line->stage = mem_strdup(want->stage);
    line->name = mem_strdup(want->name);
    line->label = label_of(want);
    limits_init(&line->valve.limits);
    if (want->kind == GATE_SAME) {
        line->valve.limits.concurrency = 1;
        line->next = gate->sames;
        if (line->next) line->next->previous = line;
        gate->sames = line;
    } else {
        line->next = gate->lines;
        gate->lines = line;
    }
    index_add(&gate->by_name, &line->link, hash_of(want), line);
    return line;
}

static void line_free(struct gate_line *line) {
    mem_free(line->stage);
    mem_free(line->name);
    mem_free(line->label);
    mem_free(line);
}

static void let_line_go(struct gate *gate, struct gate_line *line) {
    line->tickets--;
    if (line->kind != GATE_SAME || line->tickets) return;
    index_remove(&gate->by_name, &line->link);
    if (line->previous) line->previous->next = line->next;
    else gate->sames = line->next;
    if (line->next) line->next->previous = line->previous;
    line_free(line);
}

static void tell_breaker(const struct gate_line *line) {
    if (line->label && line->breaks) count_set_labelled(COUNT_FAMILY_BREAKER, line->label, NULL, line->valve.broken);
}

/* ---- lists ---- */

/* By turns; whoever comes has the last one, but for those that come back from before a restart. */
static void list_add(struct list *list, struct gate_ticket *ticket) {
    struct gate_ticket *before = list->last;
    while (before && before->turn > ticket->turn) before = before->previous;
    ticket->previous = before;
    ticket->next = before ? before->next : list->first;
    *(before ? &before->next : &list->first) = ticket;
    *(ticket->next ? &ticket->next->previous : &list->last) = ticket;
}

static void list_remove(struct list *list, struct gate_ticket *ticket) {
    if (ticket->previous) ticket->previous->next = ticket->next;
    else list->first = ticket->next;
    if (ticket->next) ticket->next->previous = ticket->previous;
    else list->last = ticket->previous;
    ticket->previous = ticket->next = NULL;
}

static void box_remove(struct gate *gate, struct gate_ticket *ticket) {
    struct list *box = &gate->seats[ticket->seat].box;
    if (ticket->box_previous) ticket->box_previous->box_next = ticket->box_next;
    else box->first = ticket->box_next;
    if (ticket->box_next) ticket->box_next->box_previous = ticket->box_previous;
    else box->last = ticket->box_previous;
    ticket->box_previous = ticket->box_next = NULL;
    ticket->in_box = false;
}

static void box_add(struct gate *gate, struct gate_ticket *ticket) {
    struct seat *seat = &gate->seats[ticket->seat];
    bool was_empty = !seat->box.first;
    ticket->box_previous = seat->box.last;
    if (seat->box.last) seat->box.last->box_next = ticket;
    else seat->box.first = ticket;
    seat->box.last = ticket;
    ticket->in_box = true;
    if (was_empty && seat->wake) seat->wake(seat->arg);
}

static void mates_add(struct gate_line *line, struct gate_ticket *ticket) {
    struct gate_ticket *before = line->last_mate;
    while (before && ticket->number && before->number > ticket->number) before = before->mate_previous;
    ticket->mate_previous = before;
    ticket->mate_next = before ? before->mate_next : line->mates;
    *(before ? &before->mate_next : &line->mates) = ticket;
    *(ticket->mate_next ? &ticket->mate_next->mate_previous : &line->last_mate) = ticket;
}

static void mates_remove(struct gate_line *line, struct gate_ticket *ticket) {
    if (ticket->mate_previous) ticket->mate_previous->mate_next = ticket->mate_next;
    else line->mates = ticket->mate_next;
    if (ticket->mate_next) ticket->mate_next->mate_previous = ticket->mate_previous;
    else line->last_mate = ticket->mate_previous;
    ticket->mate_previous = ticket->mate_next = NULL;
}

/* ---- going on ---- */

static void count_waiting(struct gate_line *line, bool changes, int by) {
    line->waiting[changes] += (size_t)by;
    line->changed[changes] = true;
    if (line->label) count_add_labelled(COUNT_FAMILY_WAITING, line->label, NULL, by);
}

static uint64_t turn_of(struct gate *gate, const struct gate_ticket *ticket) {
    if (!ticket->number) return ++gate->turn;
    if (gate->turn < ticket->number) gate->turn = ticket->number;
    return ticket->number;
}

static void wait_in_line(struct gate *gate, struct gate_ticket *ticket) {
    struct gate_line *home = ticket->lines[0];
    ticket->state = GATE_WAITS;
    ticket->turn = turn_of(gate, ticket);
    ticket->rank = home->waiting[ticket->changes] + 1;
    ticket->came_ms = gate->now_ms;
    list_add(&home->lists[ticket->changes], ticket);
    count_waiting(home, ticket->changes, 1);
    if (home->label) count_add_labelled(COUNT_FAMILY_WAITED, home->label, NULL, 1);
}

static void stop_waiting(struct gate_ticket *ticket) {
    struct gate_line *home = ticket->lines[0];
    list_remove(&home->lists[ticket->changes], ticket);
    count_waiting(home, ticket->changes, -1);
    ticket->state = GATE_IDLE;
}

static void go(struct gate *gate, struct gate_ticket *ticket) {
    ticket->state = GATE_GOES;
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++)
        ticket->probe[i] = valve_take(&ticket->lines[i]->valve, ticket->changes, gate->now_ms);
}

static void go_back(struct gate_ticket *ticket) {
    ticket->state = GATE_GOES;
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++) valve_take_back(&ticket->lines[i]->valve);
}

static void note_due(int64_t *due_ms, int64_t until) {
    if (until && (!*due_ms || until < *due_ms)) *due_ms = until;
}

static enum valve_why check_all(const struct gate *gate, const struct gate_ticket *ticket, int64_t *due_ms) {
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++) {
        int64_t until;
        enum valve_why why = valve_check(&ticket->lines[i]->valve, ticket->changes, gate->now_ms, &until);
        note_due(due_ms, until);
        if (why != VALVE_FREE) return why;
    }
    return VALVE_FREE;
}

/* The first of a list that may go on. */
static struct gate_ticket *find_free(const struct gate *gate, const struct gate_line *line, bool changes,
                                     int64_t *due_ms) {
    int64_t until;
    if (!line->lists[changes].first) return NULL;
    enum valve_why why = valve_check(&line->valve, changes, gate->now_ms, &until);
    note_due(due_ms, until);
    if (why != VALVE_FREE) return NULL;
    for (struct gate_ticket *ticket = line->lists[changes].first; ticket; ticket = ticket->next)
        if (check_all(gate, ticket, due_ms) == VALVE_FREE) return ticket;
    return NULL;
}

/* Who may find out whether a host is well again: rather a call that changes nothing. */
static struct gate_ticket *find_next(const struct gate *gate, const struct gate_line *line, int64_t *due_ms) {
    struct gate_ticket *calm = find_free(gate, line, false, due_ms), *other = find_free(gate, line, true, due_ms);
    if (!calm || !other) return calm ? calm : other;
    return line->valve.broken || calm->turn < other->turn ? calm : other;
}

static void advance_line(struct gate *gate, struct gate_line *line, int64_t *due_ms) {
    struct gate_ticket *ticket;
    while ((ticket = find_next(gate, line, due_ms))) {
        stop_waiting(ticket);
        count_observe(COUNT_HISTOGRAM_WAITED_MS, gate->now_ms - ticket->came_ms);
        go(gate, ticket);
        box_add(gate, ticket);
    }
}

static void see(struct gate *gate, int64_t now_ms) {
    if (gate->now_ms < now_ms) gate->now_ms = now_ms;
}

/* `also` is a GATE_SAME line that somebody left; NULL: none. */
static void advance(struct gate *gate, struct gate_line *also) {
    int64_t due_ms = 0;
    if (!gate->open) return;
    if (also) advance_line(gate, also, &due_ms);
    for (struct gate_line *line = gate->lines; line; line = line->next)
        if (line->waiting[0] + line->waiting[1]) advance_line(gate, line, &due_ms);
    __atomic_store_n(&gate->due_ms, due_ms, __ATOMIC_RELEASE);
}

void gate_advance(struct gate *gate, int64_t now_ms) {
    pthread_mutex_lock(&gate->lock);
    see(gate, now_ms);
    advance(gate, NULL);
    pthread_mutex_unlock(&gate->lock);
}

int64_t gate_due(const struct gate *gate) {
    return __atomic_load_n(&gate->due_ms, __ATOMIC_ACQUIRE);
}

struct gate_ticket *gate_next(struct gate *gate, unsigned seat) {
    pthread_mutex_lock(&gate->lock);
    struct gate_ticket *ticket = gate->seats[seat].box.first;
    if (ticket) box_remove(gate, ticket);
    pthread_mutex_unlock(&gate->lock);
    return ticket;
}

/* ---- entering and leaving ---- */

static void take_lines(struct gate *gate, struct gate_ticket *ticket, const struct gate_want *wants, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct gate_line *line = ticket->lines[i] = line_of(gate, &wants[i]);
        line->tickets++;
        if (line->kind == GATE_SAME) mates_add(line, ticket);
    }
}

static void give_lines(struct gate *gate, struct gate_ticket *ticket) {
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++) {
        if (ticket->lines[i]->kind == GATE_SAME) mates_remove(ticket->lines[i], ticket);
        let_line_go(gate, ticket->lines[i]);
        ticket->lines[i] = NULL;
    }
    ticket->state = GATE_IDLE;
}

static const struct gate_ticket *mate_of(const struct gate_ticket *ticket) {
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++)
        if (ticket->lines[i]->kind == GATE_SAME && ticket->lines[i]->mates != ticket) return ticket->lines[i]->mates;
    return NULL;
}

static bool is_full(const struct gate_line *line) {
    int64_t most = line->valve.limits.queue;
    return most >= 0 && (int64_t)line->waiting[0] >= most;
}

static enum gate_answer enter(struct gate *gate, struct gate_ticket *ticket, enum gate_mode mode,
                              char ret_taken[STORE_ID_SIZE]) {
    struct gate_line *home = ticket->lines[0];
    int64_t due_ms = 0;
    if (home->waiting[0] + home->waiting[1]) advance(gate, NULL); /* whoever came before and may go on by now */
    const struct gate_ticket *mate = mode == GATE_ALONE ? mate_of(ticket) : NULL;
    if (mate) {
        memcpy(ret_taken, mate->id, sizeof mate->id);
        return GATE_ANSWER_TAKEN;
    }
    if (mode == GATE_BACK) {
        go_back(ticket);
        return GATE_ANSWER_GOES;
    }
    bool next = gate->open && !home->lists[ticket->changes].first && check_all(gate, ticket, &due_ms) == VALVE_FREE;
    if (mode == GATE_FORCE || next) {
        go(gate, ticket);
        return GATE_ANSWER_GOES;
    }
    if (mode != GATE_RESUME && is_full(home)) return GATE_ANSWER_FULL;
    wait_in_line(gate, ticket);
    advance(gate, NULL); /* says when somebody may go on */
    return GATE_ANSWER_WAITS;
}

enum gate_answer gate_enter(struct gate *gate, struct gate_ticket *ticket, const struct gate_want *wants, size_t count,
                            enum gate_mode mode, int64_t now_ms, char ret_taken[STORE_ID_SIZE]) {
    pthread_mutex_lock(&gate->lock);
    see(gate, now_ms);
    take_lines(gate, ticket, wants, count);
    enum gate_answer answer = enter(gate, ticket, mode, ret_taken);
    if (answer == GATE_ANSWER_FULL || answer == GATE_ANSWER_TAKEN) give_lines(gate, ticket);
    pthread_mutex_unlock(&gate->lock);
    return answer;
}

void gate_begin(struct gate *gate, const struct gate_ticket *ticket, int64_t now_ms) {
    pthread_mutex_lock(&gate->lock);
    see(gate, now_ms);
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++)
        valve_begin(&ticket->lines[i]->valve, ticket->changes, gate->now_ms);
    pthread_mutex_unlock(&gate->lock);
}

static void give_valves(struct gate *gate, struct gate_ticket *ticket, enum valve_outcome outcome) {
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++) {
        struct gate_line *line = ticket->lines[i];
        bool opened = valve_give(&line->valve, ticket->probe[i], outcome, gate->now_ms);
        if (opened && line->label) count_add_labelled(COUNT_FAMILY_BREAKER_OPENED, line->label, NULL, 1);
        tell_breaker(line);
    }
}

void gate_leave(struct gate *gate, struct gate_ticket *ticket, enum valve_outcome outcome, int64_t now_ms) {
    pthread_mutex_lock(&gate->lock);
    see(gate, now_ms);
    struct gate_line *also = NULL;
    if (ticket->in_box) box_remove(gate, ticket);
    if (ticket->state == GATE_WAITS) stop_waiting(ticket);
    else if (ticket->state == GATE_GOES) give_valves(gate, ticket, outcome);
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++)
        if (ticket->lines[i]->kind == GATE_SAME && ticket->lines[i]->tickets > 1) also = ticket->lines[i];
    if (ticket->lines[0]) {
        give_lines(gate, ticket);
        advance(gate, also);
    }
    pthread_mutex_unlock(&gate->lock);
}

size_t gate_before(struct gate *gate, const struct gate_ticket *ticket, char (*ids)[STORE_ID_SIZE], size_t max) {
    size_t count = 0;
    pthread_mutex_lock(&gate->lock);
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++) {
        const struct gate_ticket *mate = ticket->lines[i]->kind == GATE_SAME ? ticket->mate_previous : NULL;
        for (; mate && count < max; mate = mate->mate_previous) memcpy(ids[count++], mate->id, sizeof mate->id);
    }
    pthread_mutex_unlock(&gate->lock);
    return count;
}

/* ---- where somebody stands ---- */

static void count_ranks(struct gate_line *line, bool changes, int64_t now_ms) {
    if (!line->changed[changes] || now_ms - line->ranked_ms[changes] < (int64_t)line->waiting[changes] / 10) return;
    size_t rank = 0;
    for (struct gate_ticket *ticket = line->lists[changes].first; ticket; ticket = ticket->next) ticket->rank = ++rank;
    line->changed[changes] = false;
    line->ranked_ms[changes] = now_ms;
}

static void say_line(const struct gate_line *line, int64_t now_ms, struct gate_place *ret) {
    ret->kind = line->kind;
    ret->limits = line->valve.limits;
    const char *name = line->kind == GATE_HOST ? line->name : "";
    size_t n = strnlen(name, sizeof ret->name - 1);
    memcpy(ret->name, name, n);
    if (line->valve.limits.breaker.window_ms) valve_window(&line->valve, now_ms, &ret->calls, &ret->bad);
}

static void say_why(const struct gate *gate, const struct gate_ticket *ticket, struct gate_place *ret) {
    for (size_t i = 0; i < GATE_LINES && ticket->lines[i]; i++) {
        const struct gate_line *line = ticket->lines[i];
        int64_t until;
        enum valve_why why = valve_check(&line->valve, ticket->changes, gate->now_ms, &until);
        if (why == VALVE_FREE) continue;
        int64_t behind = (int64_t)ret->rank - 1, left = until > gate->now_ms ? until - gate->now_ms : 0;
        ret->why = why;
        if (until) ret->wait_ms = left + behind * valve_interval_ms(&line->valve, why);
        say_line(line, gate->now_ms, ret);
        return;
    }
    say_line(ticket->lines[0], gate->now_ms, ret);
}

bool gate_place(struct gate *gate, struct gate_ticket *ticket, int64_t now_ms, struct gate_place *ret) {
    pthread_mutex_lock(&gate->lock);
    see(gate, now_ms);
    bool waits = ticket->state == GATE_WAITS;
    *ret = (struct gate_place){.wait_ms = -1};
    if (waits) {
        count_ranks(ticket->lines[0], ticket->changes, now_ms);
        ret->rank = ticket->rank;
        ret->count = ticket->lines[0]->waiting[ticket->changes];
        say_why(gate, ticket, ret);
    }
    pthread_mutex_unlock(&gate->lock);
    return waits;
}

/* ---- the gate itself ---- */

struct gate *gate_new(unsigned seats) {
    struct gate *gate = mem_alloc(sizeof *gate);
    pthread_mutex_init(&gate->lock, NULL);
    gate->seats = mem_alloc(seats * sizeof *gate->seats);
    gate->seat_count = seats;
    return gate;
}

void gate_free(struct gate *gate) {
    if (!gate) return;
    while (gate->lines) {
        struct gate_line *line = gate->lines;
        gate->lines = line->next;
        line_free(line);
    }
    index_fini(&gate->by_name);
    pthread_mutex_destroy(&gate->lock);
    mem_free(gate->seats);
    mem_free(gate);
}

void gate_sit(struct gate *gate, unsigned seat, void (*wake)(void *arg), void *arg) {
    pthread_mutex_lock(&gate->lock);
    gate->seats[seat].wake = wake;
    gate->seats[seat].arg = arg;
    pthread_mutex_unlock(&gate->lock);
}

/* Each seat looks when somebody may go on: that may be sooner than it was told. */
static void wake_all(struct gate *gate) {
    for (unsigned i = 0; i < gate->seat_count; i++)
        if (gate->seats[i].wake) gate->seats[i].wake(gate->seats[i].arg);
}

void gate_open(struct gate *gate, int64_t now_ms) {
    pthread_mutex_lock(&gate->lock);
    see(gate, now_ms);
    gate->open = true;
    advance(gate, NULL);
    for (struct gate_line *line = gate->sames; line; line = line->next) advance(gate, line);
    wake_all(gate);
    pthread_mutex_unlock(&gate->lock);
}

static void tune_line(struct gate_line *line, const struct limits *limits) {
    valve_tune(&line->valve, limits);
    line->breaks = line->breaks || limits->breaker.window_ms;
    tell_breaker(line);
}

static void tune(struct gate *gate, const struct gate_want *want, const struct limits *limits) {
    struct limits none;
    limits_init(&none);
    if (!limits) limits = &none;
    if (limits_same(limits, &none) && !line_find(gate, want)) return;
    tune_line(line_of(gate, want), limits);
}

void gate_tune(struct gate *gate, const struct gate_want *want, const struct limits *limits, int64_t now_ms) {
    pthread_mutex_lock(&gate->lock);
    see(gate, now_ms);
    tune(gate, want, limits);
    advance(gate, NULL);
    wake_all(gate);
    pthread_mutex_unlock(&gate->lock);
}

void gate_tune_stage(struct gate *gate, const char *stage, const struct limits *runs, const struct limits *calls,
                     int64_t now_ms) {
    gate_tune(gate, &(struct gate_want){.kind = GATE_RUNS, .stage = stage}, runs, now_ms);
    gate_tune(gate, &(struct gate_want){.kind = GATE_CALLS, .stage = stage}, calls, now_ms);
}

void gate_tune_hosts(struct gate *gate, const struct limits_upstream *hosts, size_t count, int64_t now_ms) {
    struct limits none;
    limits_init(&none);
    pthread_mutex_lock(&gate->lock);
    see(gate, now_ms);
    for (struct gate_line *line = gate->lines; line; line = line->next) {
        bool named = false;
        for (size_t i = 0; i < count; i++) named = named || same_text(line->name, hosts[i].host);
        if (line->kind == GATE_HOST && !named) tune_line(line, &none);
    }
    for (size_t i = 0; i < count; i++)
        tune(gate, &(struct gate_want){.kind = GATE_HOST, .name = hosts[i].host}, &hosts[i].limits);
    __atomic_store_n(&gate->has_hosts, count > 0, __ATOMIC_RELEASE);
    advance(gate, NULL);
    wake_all(gate);
    pthread_mutex_unlock(&gate->lock);
}

bool gate_has_hosts(const struct gate *gate) {
    return __atomic_load_n(&gate->has_hosts, __ATOMIC_ACQUIRE);
}

bool gate_knows_host(struct gate *gate, const char *host) {
    pthread_mutex_lock(&gate->lock);
    bool known = line_find(gate, &(struct gate_want){.kind = GATE_HOST, .name = host}) != NULL;
    pthread_mutex_unlock(&gate->lock);
    return known;
}
