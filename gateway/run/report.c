/* The report: a run in the words that orca and its users read.
 *
 * Always every field, in the same order, `status` and `progress` always strings: orca ends a stage for one missing
 * field. `${` is taken apart wherever it comes from, because orca would evaluate what follows it. */
#include <string.h>

#include "run/member.h"
#include "run/run.h"

#define REPORT_USUAL 1000 /* bytes: for a KiB mimalloc takes thrice as long */

void run_report_defuse(struct buf *out, struct text json) {
    const char *at = json.at, *end = json.at + json.len, *found;
    while ((found = memmem(at, (size_t)(end - at), "${", 2))) {
        buf_add(out, at, (size_t)(found - at));
        buf_adds(out, "$ {");
        at = found + 2;
    }
    buf_add(out, at, (size_t)(end - at));
}

static bool holds_expression(struct text t) {
    const char *end = t.at + t.len, *at = t.at;
    while ((at = memchr(at, '$', (size_t)(end - at))))
        if (++at < end && *at == '{') return true;
    return false;
}

/* What was written from `from` on. "$" and "{" may also meet where an escape stood between them, so the test is on the
 * text that leaves; hardly any has them. */
static void defuse_from(struct buf *out, size_t from) {
    struct text written = {out->at + from, out->len - from};
    if (!holds_expression(written)) return;
    char *copy = mem_strndup(written.at, written.len);
    out->len = from;
    run_report_defuse(out, (struct text){copy, written.len});
    mem_free(copy);
}

static void add_url(struct buf *out, struct text member, struct text base_url, const char *id, const char *rest) {
    member_begin(out, member);
    buf_addc(out, '"');
    buf_add_json_inner(out, base_url);
    buf_adds(out, "/runs/");
    buf_adds(out, id);
    buf_adds(out, rest);
    buf_addc(out, '"');
}

static void add_value(struct buf *out, struct text member, const struct frozen *value, const char *neutral) {
    member_begin(out, member);
    if (value) buf_addt(out, frozen_text(value));
    else buf_adds(out, neutral);
}

static void add_steps(struct buf *out, const struct run *run) {
    member_name(out, "steps");
    buf_addc(out, '[');
    for (size_t i = 0; i < run->step_count; i++) {
        const struct run_step *step = &run->steps[i];
        buf_adds(out, i ? ",{" : "{");
        member_string(out, "name", run->stage ? run->stage->steps[i].name : step->name);
        member_string(out, "status", run_status_word(step->status));
        member_number(out, "calls", step->calls);
        member_known(out, "code", step->code, step->code != 0);
        buf_addc(out, '}');
    }
    buf_addc(out, ']');
}

/* What the stage's history says of a run in flight. Of one that waits for its turn, or is being stopped, it says
 * nothing. */
static void add_outlook(struct buf *out, const struct run *run, const struct history *history, int64_t now_ms) {
    struct outlook outlook = {.percent = -1, .left_ms = -1};
    bool goes_on = run->begun_ms && run->state != RUN_ENDED && !run->ended_ms && !run->cancel_wanted;
    if (history && goes_on) outlook = history_outlook(history, now_ms - run->begun_ms);
    bool estimated = run->percent < 0 && outlook.percent >= 0;
    int percent = estimated ? outlook.percent : run->percent;
    member_known(out, "percent", percent, percent >= 0);
    member_bool(out, "percentEstimated", estimated);
    member_time(out, "eta", outlook.left_ms >= 0 ? now_ms + outlook.left_ms : 0);
    member_bool(out, "stalled", outlook.stalled);
}

void run_report_write(const struct run *run, const struct history *history, int64_t now_ms, const char *base_url,
                      struct buf *out) {
    size_t from = out->len;
    struct text base = text_of(base_url);
    if (!text_utf8_check(base)) base.len = 0; /* it may come from a client's Host header */
    buf_expect(out, REPORT_USUAL);
    bool over = run->state == RUN_ENDED; /* an end is told only when it is durable */
    buf_addc(out, '{');
    member_string(out, "id", run->id);
    member_string(out, "stage", run->stage_name);
    member_string(out, "status", run_status_word(over ? run->status : RUN_RUNNING));
    member_string(out, "reason", over ? reason_word(run->reason) : NULL);
    member_string(out, "progress", run->progress);
    add_outlook(out, run, history, now_ms);
    add_url(out, MEMBER("statusUrl"), base, run->id, "");
    add_url(out, MEMBER("cancelUrl"), base, run->id, "/cancel");
    member_name(out, "upstream");
    buf_addc(out, '{');
    member_string(out, "status", run->upstream_word);
    member_known(out, "code", run->upstream_code, run->upstream_code != 0);
    buf_addc(out, '}');
    add_value(out, MEMBER("outputs"), run->outputs, "{}");
    add_value(out, MEMBER("artifacts"), run->artifacts, "[]");
    add_value(out, MEMBER("warnings"), run->warnings, "[]");
    member_string(out, "error", over ? run->error : NULL);
    member_time(out, "created", run->created_ms);
    member_time(out, "updated", run->updated_ms);
    member_time(out, "ended", over ? run->ended_ms : 0);
    member_string(out, "key", run->key);
    add_steps(out, run);
    buf_addc(out, '}');
    defuse_from(out, from);
}
