/* The report: a run in the words that orca and its users read.
 *
 * Always every field, in the same order, `status` and `progress` always strings: orca ends a stage for one missing
 * field. `${` is taken apart wherever it comes from, because orca would evaluate what follows it. */
#include <string.h>

#include "run/member.h"
#include "run/run.h"

#define REPORT_MAX (16 * 1024 * 1024)

/* "$" and "{" may also meet where an escape stood between them, so the test is on the text that leaves. */
void run_report_defuse(struct buf *out, struct text json) {
    const char *at = json.at, *end = json.at + json.len, *found;
    while ((found = memmem(at, (size_t)(end - at), "${", 2))) {
        buf_add(out, at, (size_t)(found - at));
        buf_adds(out, "$ {");
        at = found + 2;
    }
    buf_add(out, at, (size_t)(end - at));
}

/* The base may come from a client's Host header. */
static void add_url(struct buf *out, const char *name, const char *base_url, const char *id, const char *rest) {
    member_name(out, name);
    buf_addc(out, '"');
    if (text_utf8_check(text_of(base_url))) buf_add_json_inner(out, text_of(base_url));
    buf_adds(out, "/runs/");
    buf_adds(out, id);
    buf_adds(out, rest);
    buf_addc(out, '"');
}

static void add_value(struct buf *out, const char *name, const struct frozen *value, const char *neutral) {
    member_name(out, name);
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
    struct buf text;
    buf_init(&text, REPORT_MAX);
    bool over = run->state == RUN_ENDED; /* an end is told only when it is durable */
    buf_addc(&text, '{');
    member_string(&text, "id", run->id);
    member_string(&text, "stage", run->stage_name);
    member_string(&text, "status", run_status_word(over ? run->status : RUN_RUNNING));
    member_string(&text, "reason", over ? reason_word(run->reason) : NULL);
    member_string(&text, "progress", run->progress);
    add_outlook(&text, run, history, now_ms);
    add_url(&text, "statusUrl", base_url, run->id, "");
    add_url(&text, "cancelUrl", base_url, run->id, "/cancel");
    member_name(&text, "upstream");
    buf_addc(&text, '{');
    member_string(&text, "status", run->upstream_word);
    member_known(&text, "code", run->upstream_code, run->upstream_code != 0);
    buf_addc(&text, '}');
    add_value(&text, "outputs", run->outputs, "{}");
    add_value(&text, "artifacts", run->artifacts, "[]");
    add_value(&text, "warnings", run->warnings, "[]");
    member_string(&text, "error", over ? run->error : NULL);
    member_time(&text, "created", run->created_ms);
    member_time(&text, "updated", run->updated_ms);
    member_time(&text, "ended", over ? run->ended_ms : 0);
    member_string(&text, "key", run->key);
    add_steps(&text, run);
    buf_addc(&text, '}');
    run_report_defuse(out, buf_text(&text));
    buf_fini(&text);
}
