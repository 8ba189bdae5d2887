/* Explaining a run: every call it made and what judged it, and what comes next and when.
 *
 * For whoever asks why a run is not over yet, or why it ended as it did. It tells what the journal has, in the words of
 * the definition. */
#include "run/member.h"
#include "run/run.h"

#define EXPLAIN_MAX (4 * 1024 * 1024)

/* What the run waits for, in one sentence; *ret_due_ms is when it comes, 0 where the world decides. */
static const char *next_of(const struct run *run, int64_t *ret_due_ms) {
    *ret_due_ms = 0;
    switch (run->state) {
    case RUN_ACCEPTING:
    case RUN_INTENDING:
    case RUN_RECORDING:
    case RUN_STOPPING:
    case RUN_ENDING: return "what is known has to be on disk first";
    case RUN_QUEUED: return "its turn: the progress says where it stands";
    case RUN_CALLING: return "the reply of the call that is under way";
    case RUN_CANCELING: return "the reply of the cancel call that is under way";
    case RUN_WAITING:
        if (run->awaiting) return "to be called back";
        *ret_due_ms = run->due_ms;
        return "the next call of the step";
    case RUN_PROBING: return "the reply of the probe, which looks for what became of the call";
    case RUN_PROBE_WAITING: *ret_due_ms = run->due_ms; return "the next look of the probe";
    case RUN_CANCEL_WAITING: *ret_due_ms = run->due_ms; return "the next try of the cancel call";
    case RUN_CANCEL_CHECKING: return "the reply of the poll that asks whether the upstream has stopped";
    case RUN_CANCEL_CHECK_WAITING:
        *ret_due_ms = run->due_ms;
        return "the next poll that asks whether the upstream has stopped";
    case RUN_ENDED:
    case RUN_DROPPED:
    case RUN_STATE_END: break;
    }
    return NULL;
}

static void add_next(struct buf *out, const struct run *run) {
    int64_t due_ms;
    const char *what = run->stage ? next_of(run, &due_ms) : NULL;
    member_name(out, "next");
    if (!what) {
        buf_adds(out, "null");
        return;
    }
    buf_addc(out, '{');
    member_string(out, "what", what);
    member_string(out, "step", run->stage->steps[run->step].name);
    member_time(out, "at", due_ms);
    buf_addc(out, '}');
}

void run_explain_write(const struct run *run, struct buf *out) {
    struct buf text;
    buf_init(&text, EXPLAIN_MAX);
    bool over = run->state == RUN_ENDED;
    buf_addc(&text, '{');
    member_string(&text, "id", run->id);
    member_string(&text, "stage", run->stage_name);
    member_string(&text, "status", run_status_word(over ? run->status : RUN_RUNNING));
    member_string(&text, "reason", over ? reason_word(run->reason) : NULL);
    member_string(&text, "progress", run->progress);
    member_string(&text, "error", over ? run->error : NULL);
    member_string(&text, "definition", run->definition);
    member_string(&text, "state", over || run->stage ? run_state_word(run->state) : NULL);
    member_name(&text, "calls");
    journal_print(&run->journal, &text);
    member_number(&text, "leftOut", (int64_t)run->journal.left_out);
    add_next(&text, run);
    member_time(&text, "deadline", run->stage && !over ? run_deadline_ms(run) : 0);
    buf_addc(&text, '}');
    run_report_defuse(out, buf_text(&text));
    buf_fini(&text);
}
