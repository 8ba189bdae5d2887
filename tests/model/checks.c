/* The promises, held against what the upstream counted and what the disk has.
 *
 * Each is looked at where it could be broken: when a call begins, when its reply is given, when a record becomes
 * durable, when somebody is answered, after a restart, and at the end. Nothing here looks into a run: what is known of
 * it is its record and its report. What holds only while the clocks go and the process lives (times) is looked at only
 * in scenarios where they do: `calm`. */
#include "checks.h"

#include <stdlib.h>
#include <string.h>

#include "run/id.h"
#include "run/life.h"

#define SLACK_MS 3000 /* the disk takes its time */

uint64_t checked[CHECK_COUNT];
_Noreturn void scenario_failed(enum check check, const char *what); /* of model.c */

static const char *const words[] = {
#define X(id, text) #id,
    CHECKS(X)
#undef X
};

static const char *const texts[] = {
#define X(id, text) text,
    CHECKS(X)
#undef X
};

const char *check_word(enum check check) {
    return words[check];
}

const char *check_text(enum check check) {
    return texts[check];
}

void check(enum check check, bool holds, const char *format, ...) {
    checked[check]++;
    if (holds) return;
    char what[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    scenario_failed(check, what);
}

static bool calm(void) {
    return !world.restarts && !world.jumps && !world.breaks;
}

/* ---- texts ---- */

static void check_no(struct text text, const char *secret, const char *what) {
    if (memmem(text.at, text.len, secret, strlen(secret)))
        check(CHECK_SECRETS, false, "%s has %s: %.*s", what, secret, TEXT_ARG(text));
    checked[CHECK_SECRETS]++;
}

void check_texts(struct text text, bool parameter, const char *what) {
    check_no(text, SECRET_TOKEN, what);
    check_no(text, SECRET_HOOK, what);
    check_no(text, "sdcb-0", what); /* a callback's token, unmasked */
    if (parameter) check_no(text, SECRET_PARAM, what);
}

static const struct json *parse(struct arena *arena, struct text text, enum check kind) {
    struct json_limits limits = {64 << 20, 256, 1000000};
    struct fault fault;
    const struct json *value = json_parse(arena, text, &limits, &fault);
    if (!value) check(kind, false, "no JSON: %s: %.*s", fault.what, TEXT_ARG(text));
    return value;
}

/* ---- calls ---- */

static const struct stage_step *step_of(const struct transfer *call) {
    return &call->seen->stage->steps[call->step];
}

static bool is_decided(const struct json *record, size_t step) {
    const struct json *kept = json_at(json_gets(record, "steps"), step);
    const char *status = json_gets_text(kept, "status");
    return json_kind(json_gets(kept, "value")) == JSON_OBJECT || (status && strcmp(status, "SKIPPED") == 0);
}

static void check_order(const struct transfer *call, const struct image *image) {
    check(CHECK_REPLY_FIRST, image->step == (int64_t)call->step, "step %zu is called, and the record is at %lld",
          call->step, (long long)image->step);
    if (call->step == 0) return;
    struct arena *arena = arena_new();
    const struct json *record = parse(arena, image->record.body, CHECK_REPLY_FIRST);
    for (size_t i = 0; i < call->step; i++)
        check(CHECK_REPLY_FIRST, is_decided(record, i), "step %zu is called, and the record has no reply to step %zu",
              call->step, i);
    arena_free(arena);
}

static void check_doubt(const struct transfer *call, struct seen_step *seen) {
    const struct stage_step *step = step_of(call);
    if (step->call.idempotent || step->in_doubt == DOUBT_RESEND) return;
    if (step->in_doubt == DOUBT_FAIL) check(CHECK_DOUBT, !seen->doubtful, "step %zu is sent again", call->step);
    else
        check(CHECK_DOUBT, !seen->doubtful || seen->nothing_found, "step %zu is sent again, and no probe says so",
              call->step);
}

static void check_tries(const struct transfer *call, const struct seen_step *seen) {
    const struct stage_step *step = step_of(call);
    if (step->rules.exist) return;
    unsigned attempts = step->call.retry_attempts;
    if (step->in_doubt == DOUBT_PROBE && attempts < 1) attempts = 1;
    unsigned most = (attempts + 1) * (call->seen->restarts + 1) + call->seen->restarts;
    check(CHECK_TRIES, seen->sends < most, "step %zu is sent %u times", call->step, seen->sends + 1);
}

static void check_limits(const struct transfer *call) {
    const struct stage *stage = world.stages[world.version];
    unsigned others = 0;
    for (size_t i = 0; i < world.seen_count; i++) {
        const struct seen *other = &world.seen[i];
        const struct image *image = world_image(other->id);
        if (other == call->seen || !image || image->record.ended_ms || !other->sends) continue;
        others++;
        if (stage->dedup)
            check(CHECK_SAME, strcmp(other->app, call->seen->app) != 0, "%s and %s are at work with the same key",
                  other->id, call->seen->id);
    }
    if (stage->limits && stage->limits->concurrency && !call->seen->sends)
        check(CHECK_CONCURRENCY, others < (unsigned)stage->limits->concurrency, "%u others are at work", others);
}

static bool changes(const struct transfer *call) {
    if (strcmp(call->request->method, "GET") == 0) return false;
    if (strcmp(call->kind, "step") != 0) return false; /* a cancel call does not wait for its turn */
    return !step_of(call)->rules.exist || !step_of(call)->call.idempotent;
}

static void check_gap(const struct transfer *call) {
    const struct limits *limits = call->seen->stage->call_limits;
    if (!limits || !limits->gap_ms || !changes(call)) return;
    int64_t disk_ms = 450; /* the gap is from turn to turn; between a turn and its call the intent becomes durable */
    if (world.changed_ms && !world.breaks)
        check(CHECK_GAP, world.mono_ms - world.changed_ms >= limits->gap_ms - disk_ms,
              "only %lld ms after the last call", (long long)(world.mono_ms - world.changed_ms));
    world.changed_ms = world.mono_ms;
}

/* In flight, and nobody has stopped it: its time cannot be up. */
static void check_time(const struct seen *seen, const struct store_record *record, int64_t step_no) {
    if (!calm() || !seen->stage || step_no >= (int64_t)seen->stage->step_count) return;
    const struct stage_step *step = &seen->stage->steps[step_no];
    int64_t now_ms = world_wall_ms() - SLACK_MS, began_ms = record_int(record->body, "step_began");
    int64_t deadline_ms = record_int(record->body, "deadline");
    bool queued = record_int(record->body, "queued");
    if (seen->stage->timeout_ms)
        check(CHECK_NOT_LATE, now_ms <= record->created_ms + seen->stage->timeout_ms, "%s goes on behind its timeout",
              seen->id);
    if (step->timeout_ms && !queued)
        check(CHECK_NOT_LATE, now_ms <= began_ms + step->timeout_ms, "step %lld of %s goes on behind its timeout",
              (long long)step_no, seen->id);
    if (deadline_ms) check(CHECK_NOT_LATE, now_ms <= deadline_ms, "%s goes on behind its deadline", seen->id);
}

static void check_pace(const struct transfer *call, struct seen_step *seen) {
    const struct stage_step *step = step_of(call);
    if (step->rules.exist && seen->calm && seen->called_ms && !call->seen->cancel_accepted) {
        int64_t least_ms = step->every_ms / 10;
        if (step->callback && least_ms > 200) least_ms = 200; /* it may be a hint */
        check(CHECK_PACE, world.mono_ms - seen->called_ms >= least_ms, "polled again after %lld ms",
              (long long)(world.mono_ms - seen->called_ms));
    }
    seen->called_ms = world.mono_ms;
}

static void check_key(const struct transfer *call, struct seen_step *seen) {
    if (!step_of(call)->call.idempotency_header) return;
    check(CHECK_KEY, call->key[0] && (!seen->key[0] || strcmp(seen->key, call->key) == 0),
          "the key is '%s', and was '%s'", call->key, seen->key);
    snprintf(seen->key, sizeof seen->key, "%s", call->key);
}

static void check_step_call(const struct transfer *call, const struct image *image) {
    const struct stage_step *step = step_of(call);
    struct seen_step *seen = &call->seen->steps[call->step];
    bool poll = step->rules.exist && step->call.idempotent;
    check_order(call, image);
    check(CHECK_INTENT, !record_int(image->record.body, "queued"), "the record says that the run is queued");
    if (!step->call.idempotent)
        check(CHECK_INTENT, record_int(image->record.body, "sending"), "the record does not say that it is being sent");
    check_doubt(call, seen);
    check_tries(call, seen);
    check_key(call, seen);
    if (call->seen->cancel_acknowledged) check(CHECK_CANCEL_STOPS, poll, "step %zu is called", call->step);
    if (!image->cancel_wanted) check_time(call->seen, &image->record, image->step);
    check_limits(call);
    check_pace(call, seen);
    const struct job *first = call->seen->steps[0].job;
    if (step->when.holds && !step->follows && first)
        check(CHECK_SKIPPED, first->go, "step %zu is made, though `when` does not hold", call->step);
    seen->sends++;
    call->seen->sends++;
    seen->nothing_found = false;
    seen->doubtful = !step->call.idempotent;
}

/* For all of it the upstream wanted no calls: the fallback may go elsewhere. */
static bool cancel_time_is_up(const struct transfer *call, const struct image *image) {
    int64_t since_ms = record_int(image->record.body, "cancel_since");
    return since_ms && world_wall_ms() >= since_ms + call->seen->stage->cancel_timeout_ms;
}

static void check_cancel_call(const struct transfer *call, const struct image *image) {
    check(CHECK_WISH_FIRST, image->cancel_wanted, "the record of %s does not say so", call->seen->id);
    if (strcmp(call->kind, "fallback") == 0)
        check(CHECK_FALLBACK,
              call->seen->cancel_sends > 0 || cancel_time_is_up(call, image) ||
                  image->step < (int64_t)call->seen->stage->cancel_needs,
              "no cancel call was made");
    unsigned attempts = call->seen->stage->cancel->call.retry_attempts;
    unsigned most = 2 * ((attempts > 5 ? attempts : 5) + 1) * (call->seen->restarts + 1);
    call->seen->cancel_sends++;
    check(CHECK_TRIES, call->seen->cancel_sends <= most, "the cancel call is made %u times", call->seen->cancel_sends);
}

/* The upstream asked for quiet while the disk was writing that the call is being sent: it counts as sent. */
static bool was_intended(const struct transfer *call) {
    bool harmless = strcmp(call->kind, "step") != 0 || step_of(call)->call.idempotent;
    return !harmless && (world.breaks || world.mono_ms - world.quiet_asked_ms < SLACK_MS);
}

void check_call(const struct transfer *call) {
    const struct image *image = world_image(call->seen->id);
    if (!image) check(CHECK_DURABLE, false, "a call of a run that is not on disk");
    check(CHECK_SILENCE, !image->record.ended_ms, "%s has ended, and calls", call->seen->id);
    check(CHECK_PINNED,
          (call->definition[0] == '0' || call->definition[0] == '1') && world.stages[call->definition[0] - '0'] &&
              strcmp(stage_hash(world.stages[call->definition[0] - '0']), image->record.definition) == 0,
          "%s calls by definition %s", call->seen->id, call->definition);
    if (strcmp(call->auth, SECRET_TOKEN) != 0) check(CHECK_SECRETS, false, "the call goes with '%s'", call->auth);
    if (world.quiet_until_ms)
        check(CHECK_QUIET, world_wall_ms() >= world.quiet_until_ms || was_intended(call),
              "it is called %lld ms too early", (long long)(world.quiet_until_ms - world_wall_ms()));
    check_gap(call);
    if (strcmp(call->kind, "step") == 0) {
        check_step_call(call, image);
    } else if (strcmp(call->kind, "probe") == 0) {
        struct seen_step *seen = &call->seen->steps[call->step];
        check(CHECK_DOUBT, seen->doubtful && record_int(image->record.body, "sending"),
              "a probe of what is not in doubt");
        seen->probes++;
        check(CHECK_TRIES, seen->probes < 1000, "%u probes", seen->probes);
    } else {
        check_cancel_call(call, image);
    }
}

/* ---- replies ---- */

static void note_word(struct seen *run, struct seen_step *seen, const struct stage_step *step,
                      const struct transfer *call, bool answered) {
    const char *word = call->word;
    bool good = answered && call->code >= 200 && call->code <= 299;
    bool by_word = step->rules.value != NULL;
    bool ok = good && (by_word ? word_is_ok(word) : call->code != 202);
    seen->calm = answered && good;
    seen->ok_in_a_row = ok ? seen->ok_in_a_row + 1 : 0;
    if (!ok) seen->ok_since_ms = 0;
    else if (!seen->ok_since_ms) seen->ok_since_ms = world_wall_ms();
    if (ok) seen->said_ok++;
    if (good && strcmp(word, "bad") == 0) seen->said_bad++;
    if (good && strcmp(word, "gone") == 0) seen->said_gone++;
    if (good && !ok && word[0]) seen->said_unknown++; /* that of work that goes on may be in no list either */
    bool over = (good && (ok || strcmp(word, "bad") == 0 || strcmp(word, "gone") == 0)) ||
                (answered && (call->code == 404 || call->code == 410));
    if (over && run->cancel_accepted) run->checks_said_end++;
}

static void note_step_reply(const struct transfer *call, enum reply_phase phase) {
    const struct stage_step *step = step_of(call);
    struct seen_step *seen = &call->seen->steps[call->step];
    bool answered = phase == REPLY_ANSWERED;
    if (phase != REPLY_MAYBE_ACTED_ON) seen->doubtful = false;
    else if (!step->call.idempotent) seen->was_doubtful = true;
    if (answered && call->code == 500) seen->was_doubtful = true;
    if (answered && call->code >= 200 && call->code <= 299) seen->answered++;
    if (step->rules.exist) note_word(call->seen, seen, step, call, answered);
}

void check_reply(struct transfer *call, enum reply_phase phase) {
    bool answered = phase == REPLY_ANSWERED;
    int64_t quiet_ms = answered && call->retry_after[0] ? strtoll(call->retry_after, NULL, 10) * 1000 : 0;
    int64_t *until_ms = &world.quiet_until_ms;
    if (quiet_ms && world_wall_ms() >= *until_ms) world.quiet_asked_ms = world.mono_ms;
    if (quiet_ms && world_wall_ms() + quiet_ms > *until_ms) *until_ms = world_wall_ms() + quiet_ms;
    struct seen_step *seen = &call->seen->steps[call->step];
    if (strcmp(call->kind, "step") == 0) {
        note_step_reply(call, phase);
    } else if (strcmp(call->kind, "probe") == 0) {
        bool found = answered && call->code == 200 && !call->said_nothing;
        seen->nothing_found = answered && call->code == 200 && call->said_nothing;
        if (found) seen->answered++;
    } else if (answered) {
        bool over = call->code == 404 || call->code == 405 || call->code == 409 || call->code == 410;
        if (over || (call->code >= 200 && call->code <= 299)) call->seen->cancel_accepted++;
    }
}

/* ---- records ---- */

static struct stage *stage_by_hash(const char *hash) {
    for (unsigned i = 0; i < 2; i++)
        if (world.stages[i] && strcmp(stage_hash(world.stages[i]), hash) == 0) return stage_ref(world.stages[i]);
    return NULL;
}

static struct seen *meet(const struct store_record *record, const struct json *body) {
    struct seen *seen = seen_make(record->id);
    const char *app = json_gets_text(json_gets(body, "parameters"), "app");
    seen->stage = stage_by_hash(record->definition);
    seen->advance = seen->stage == NULL;
    if (app) snprintf(seen->app, sizeof seen->app, "%s", app);
    if (record->key) snprintf(seen->key, sizeof seen->key, "%s", record->key);
    return seen;
}

/* A step that the record calls done, or left out. */
static void check_done(const struct seen *run, size_t i, const char *status) {
    const struct stage_step *step = &run->stage->steps[i];
    const struct seen_step *seen = &run->steps[i];
    if (strcmp(status, "SKIPPED") == 0) {
        const struct job *first = run->steps[0].job;
        check(CHECK_SKIPPED, step->when.holds && !seen->sends && (step->follows || !first || !first->go),
              "step %zu is left out", i);
        return;
    }
    if (strcmp(status, "SUCCEEDED") != 0) return;
    bool judged = step->rules.exist || step->callback;
    if (judged) check(CHECK_SUCCESS_TRUE, seen->said_ok, "step %zu of %s, and nobody said so", i, run->id);
    else check(CHECK_SUCCESS_TRUE, seen->answered, "step %zu of %s, and it was not answered", i, run->id);
    if (step->rules.success_polls && !seen->called_ok)
        check(CHECK_STEADY, seen->ok_in_a_row >= step->rules.success_polls, "%u in a row, not %lld", seen->ok_in_a_row,
              (long long)step->rules.success_polls);
    if (step->rules.success_for_ms && !world.jumps && !seen->called_ok)
        check(CHECK_STEADY, seen->ok_since_ms && world_wall_ms() - seen->ok_since_ms >= step->rules.success_for_ms,
              "it has not lasted for %lld ms", (long long)step->rules.success_for_ms);
}

static unsigned sum(const struct seen *run, unsigned (*of)(const struct seen_step *step)) {
    unsigned total = 0;
    for (size_t i = 0; i < WORLD_STEPS; i++) total += of(&run->steps[i]);
    return total;
}

static unsigned acted(const struct seen_step *step) {
    return step->acted;
}

static unsigned was_doubtful(const struct seen_step *step) {
    return step->was_doubtful;
}

static void check_canceled(const struct seen *run, int64_t step_no) {
    const struct stage_step *step = &run->stage->steps[step_no];
    bool asked = step->rules.exist && step->call.idempotent && run->stage->cancel_timeout_ms > 0;
    check(CHECK_CANCEL_TRUE, run->cancel_accepted, "%s, and no cancel call was accepted", run->id);
    if (asked) check(CHECK_CANCEL_TRUE, run->checks_said_end, "%s, and the upstream did not say so", run->id);
}

/* Not before any of the times that it may be for. */
static void check_not_early(const struct seen *run, const struct store_record *record, int64_t at_ms) {
    const struct stage_step *step = &run->stage->steps[record_int(record->body, "step")];
    int64_t began_ms = record_int(record->body, "step_began"), deadline_ms = record_int(record->body, "deadline");
    if (world.jumps) return;
    bool due = (run->stage->timeout_ms && at_ms >= record->created_ms + run->stage->timeout_ms) ||
               (step->timeout_ms && at_ms >= began_ms + step->timeout_ms) || (deadline_ms && at_ms >= deadline_ms) ||
               (record_int(record->body, "awaiting") && at_ms >= record_int(record->body, "due"));
    check(CHECK_NOT_EARLY, due, "%s timed out before its time", run->id);
}

static void check_ended(const struct seen *run, const struct store_record *record, const struct json *body) {
    const char *reason = json_gets_text(body, "reason");
    int64_t step_no = json_int(json_gets(body, "step"));
    if (!run->stage) return;
    if (!reason) reason = "";
    check(CHECK_REPORT, (strcmp(record->status, "SUCCEEDED") == 0) == !reason[0], "%s, reason %s", record->status,
          reason);
    if (strcmp(reason, "canceled_before_start") == 0)
        check(CHECK_NO_CALL, sum(run, acted) == 0, "%s has begun work", run->id);
    if (strcmp(reason, "in_doubt") == 0)
        check(CHECK_DOUBT_SAID, sum(run, was_doubtful), "%s was not in doubt", run->id);
    const struct seen_step *at = &run->steps[step_no];
    if (strcmp(reason, "upstream_failed") == 0) check(CHECK_FAILURE_TRUE, at->said_bad, "%s did not fail", run->id);
    if (strcmp(reason, "upstream_canceled") == 0)
        check(CHECK_FAILURE_TRUE, at->said_gone, "%s was not canceled there", run->id);
    if (strcmp(reason, "unknown_status") == 0)
        check(CHECK_FAILURE_TRUE, at->said_unknown, "%s had no unknown word", run->id);
    if (strcmp(reason, "canceled") == 0 || strcmp(reason, "orphaned") == 0) check_canceled(run, step_no);
    bool owed = at->callback_owed && (json_int(json_gets(body, "awaiting")) || run->stage->steps[step_no].rules.exist);
    if (strcmp(reason, "timeout") == 0)
        check(CHECK_CALLBACK_COUNTS, !owed, "step %lld of %s timed out, though it was called back", (long long)step_no,
              run->id);
}

/* The wish is a moment older than its record, and a look than its answer. */
static void check_orphan(const struct seen *seen) {
    int64_t looked_ms = world.mono_ms - seen->looked_ms > 500 ? seen->looked_ms : seen->looked_before_ms;
    check(CHECK_ORPHANS, world.mono_ms - looked_ms >= seen->stage->orphan_after_ms - 500, "%s was looked at", seen->id);
}

/* A record that it is being sent, and then one that it was not: between them, a crash would leave it in doubt. */
static void check_held(struct seen *seen, const struct image *image, const struct store_record *record, int64_t step) {
    struct seen_step *at = &seen->steps[step];
    if (seen->stage->steps[step].call.idempotent) return; /* which may leave before any record */
    bool before = image && image->step == step && record_int(image->record.body, "sending");
    bool now = record_int(record->body, "sending");
    if (now && !before) {
        at->intended_sends = at->sends;
        at->intended_restarts = seen->restarts;
    }
    bool taken_back = before && !now && at->sends == at->intended_sends && seen->restarts == at->intended_restarts;
    bool stops = record->ended_ms || record_int(record->body, "cancel_wanted") || world.stopping;
    check(CHECK_HELD, !taken_back || stops, "%s recorded step %lld as being sent, and held it", seen->id,
          (long long)step);
}

/* Those before it that waited for the same as this one, when the process began, wait no more. */
static void check_turns(const struct image *image, const struct store_record *record) {
    const struct stage *stage = world.stages[world.version];
    bool goes = image->queued && !record_int(record->body, "queued") && !record_int(record->body, "cancel_wanted");
    if (!stage->limits || stage->limits->concurrency != 1 || stage->dedup || world.breaks || !image->was_queued) return;
    for (const struct image *other = world.images; goes && !record->ended_ms && other < image; other++)
        check(CHECK_ORDER, !other->was_queued || !other->queued || other->cancel_wanted,
              "%s goes before %s, which came earlier", record->id, other->record.id);
}

/* No run, but a key that leads to one. */
static void check_attached(const struct store_record *record, const struct json *body) {
    const char *to = json_gets_text(body, "attached_to");
    check(CHECK_DURABLE, to && world_image(to), "the key %s leads to %s, which is not on disk", record->key, to);
}

void check_commit(struct image *image, const struct store_record *record) {
    struct arena *arena = arena_new();
    const struct json *body = parse(arena, record->body, CHECK_FORWARD);
    struct seen *seen = image ? seen_find(record->id) : meet(record, body);
    const struct json *steps = json_gets(body, "steps");
    int64_t step = json_int(json_gets(body, "step")), before = image ? image->step : 0;
    bool wanted = json_int(json_gets(body, "cancel_wanted")), late = json_int(json_gets(body, "timed_out"));
    check_texts(record->body, record->ended_ms, "a record");
    bool was_in_memory = image ? image->record.in_memory : seen->stage && !seen->stage->durable;
    if (seen->stage)
        check(CHECK_MEMORY, record->in_memory == was_in_memory || (was_in_memory && world.stopping),
              "the record of %s is %s memory alone", seen->id, record->in_memory ? "in" : "not in");
    if (image && image->record.ended_ms)
        check(CHECK_END_IS_END,
              image->record.ended_ms == record->ended_ms && strcmp(image->record.status, record->status) == 0,
              "%s was %s, and is %s", record->id, image->record.status, record->status);
    if (image)
        check(CHECK_FORWARD, step >= image->step && wanted >= image->cancel_wanted && late >= image->timed_out,
              "the record of %s goes back", record->id);
    if (image && !world.jumps)
        check(CHECK_FORWARD, record->updated_ms >= image->record.updated_ms, "the time of %s goes back", record->id);
    for (size_t i = 0; seen->stage && i < json_size(steps); i++) {
        bool news = (int64_t)i >= before && ((int64_t)i < step || record->ended_ms);
        if (news && !(image && image->record.ended_ms))
            check_done(seen, i, json_gets_text(json_at(steps, i), "status"));
    }
    if (seen->stage) check_held(seen, image, record, step);
    if (image) check_turns(image, record);
    if (late && !(image && image->timed_out) && seen->stage) check_not_early(seen, record, world_wall_ms());
    bool orphaned = json_int(json_gets(body, "orphaned"));
    if (orphaned && image && !record_int(image->record.body, "orphaned") && calm()) check_orphan(seen);
    if (strcmp(record->status, STORE_ATTACHED) == 0) check_attached(record, body);
    else if (record->ended_ms && !(image && image->record.ended_ms)) check_ended(seen, record, body);
    if (!wanted && !record->ended_ms && image) check_time(seen, record, step);
    if (seen->stage && seen->stage->orphan_after_ms && !wanted && !record->ended_ms && calm())
        check(CHECK_ORPHANS, world.mono_ms - seen->read_ms <= seen->stage->orphan_after_ms + SLACK_MS,
              "%s goes on, and nobody has looked for %lld ms", seen->id, (long long)(world.mono_ms - seen->read_ms));
    arena_free(arena);
}

/* ---- reports ---- */

static void check_members(const struct json *report) {
    static const char *const texts_of[] = {"id",        "stage",     "status",  "progress",
                                           "statusUrl", "cancelUrl", "created", "updated"};
    static const char *const others[] = {"reason",    "percent", "upstream", "outputs",
                                         "artifacts", "error",   "ended",    "steps"};
    for (size_t i = 0; i < sizeof texts_of / sizeof *texts_of; i++)
        check(CHECK_REPORT, json_gets_text(report, texts_of[i]), "%s is no text", texts_of[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check(CHECK_REPORT, json_gets(report, others[i]), "there is no %s", others[i]);
}

void check_report(struct seen *seen, const struct buf *text) {
    static const char *const orcas[] = {"NOT_STARTED", "RUNNING", "SUCCEEDED", "TERMINAL", "CANCELED"};
    struct arena *arena = arena_new();
    const struct json *report = parse(arena, buf_text(text), CHECK_REPORT);
    const char *status = json_gets_text(report, "status");
    bool known = false;
    check_members(report);
    for (size_t i = 0; i < sizeof orcas / sizeof *orcas; i++) known = known || strcmp(status, orcas[i]) == 0;
    check(CHECK_REPORT, known, "status is %s", status);
    check(CHECK_REPORT, !memmem(text->at, text->len, "${", 2), "orca would evaluate %s", text->at);
    check_texts(buf_text(text), true, "a report");
    bool over = strcmp(status, "RUNNING") != 0;
    const struct image *image = world_image(json_gets_text(report, "id"));
    check(CHECK_DURABLE, image != NULL, "a report of a run that is not on disk");
    if (over)
        check(CHECK_DURABLE, image->record.ended_ms && strcmp(image->record.status, status) == 0,
              "%s is told, and the disk has %s", status, image->record.status);
    if (seen && seen->told_end)
        check(CHECK_END_IS_END, strcmp(seen->end_word, status) == 0, "%s was told before, now %s", seen->end_word,
              status);
    if (seen && over) {
        seen->told_end = true;
        snprintf(seen->end_word, sizeof seen->end_word, "%s", status);
    }
    arena_free(arena);
}

void check_explanation(const struct seen *seen, struct text text) {
    check_texts(text, true, "an explanation");
    if (!seen) return;
    struct arena *arena = arena_new();
    const struct json *calls = json_gets(parse(arena, text, CHECK_REPORT), "calls");
    int64_t judged = 0;
    for (size_t i = 0; i < json_size(calls); i++) {
        const char *call = json_gets_text(json_at(calls, i), "call");
        if (strcmp(call, "callback") == 0) judged += json_int(json_gets(json_at(calls, i), "count"));
    }
    check(CHECK_CALLBACK_SAME, judged <= seen->messages, "%lld callbacks were judged, of %u", (long long)judged,
          seen->messages);
    arena_free(arena);
}

/* ---- restarts ---- */

void check_kill(void) {
    for (size_t i = 0; i < world.seen_count; i++) {
        struct seen *seen = &world.seen[i];
        const struct image *image = world_image(seen->id);
        if (!image || image->record.ended_ms || !seen->stage) continue;
        struct seen_step *step = &seen->steps[image->step];
        struct text body = image->record.body;
        bool open = record_int(body, "sending") && !seen->stage->steps[image->step].call.idempotent;
        seen->restarts++;
        step->doubtful = open;
        step->nothing_found = false;
        if (open) step->was_doubtful = true;
        step->ok_in_a_row = (unsigned)record_int(body, "steady_replies");
        step->ok_since_ms = record_int(body, "steady_since");
        for (size_t k = 0; k < WORLD_STEPS; k++) seen->steps[k].called_ms = 0;
        seen->read_ms = seen->looked_ms = seen->looked_before_ms = world.mono_ms;
    }
}

void check_boot(void) {
    for (size_t i = 0; i < world.image_count; i++) {
        const struct store_record *record = &world.images[i].record;
        if (record->ended_ms) continue;
        const struct engine *engine = world.items[id_owner(text_of(record->id)) % world.engines_count];
        check(CHECK_RESUMED, life_find_id(engine, record->id), "%s is left behind", record->id);
    }
}

/* ---- the end ---- */

static void check_cancel_counts(const struct seen *seen, const struct store_record *record) {
    if (!seen->cancel_acknowledged_in_time || !seen->stage) return;
    const struct stage *stage = seen->stage;
    size_t step = (size_t)record_int(record->body, "step");
    bool canceled = strcmp(record->status, "CANCELED") == 0;
    bool late = record_int(record->body, "timed_out");
    bool polled = stage->steps[step].rules.exist && stage->steps[step].call.idempotent;
    bool was_under_way = strcmp(record->status, "SUCCEEDED") == 0 && (!polled || stage->cancel_needs > step);
    check(CHECK_CANCEL_COUNTS, canceled || late || was_under_way, "%s was canceled, and is %s: %.*s", seen->id,
          record->status, TEXT_ARG(record->body));
}

void check_end(void) {
    for (size_t i = 0; i < world.seen_count; i++) {
        const struct seen *seen = &world.seen[i];
        const struct image *image = world_image(seen->id);
        if (seen->acknowledged) check(CHECK_NOT_LOST, image && image->record.ended_ms, "%s", seen->id);
        if (image) check_cancel_counts(seen, &image->record);
    }
}
