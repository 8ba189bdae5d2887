/* Runs at rest: what the store reads where a stage is not durable.
 *
 * Most of them are read once, or never, so nothing is written in advance: the run itself is kept, without the replies
 * and callbacks that only its calls needed. It may be read on any thread, which is why nothing changes it any more.
 * Called by run/life when a run has ended, and by the store. */
#include "run/rest.h"

#include <string.h>

struct rest {
    struct store_source source;
    struct run *run;
};

static void write_record(const struct store_source *source, struct buf *out) {
    const struct rest *rest = (const struct rest *)source;
    run_record_write(rest->run, out);
}

static void end(struct store_source *source) {
    struct rest *rest = (struct rest *)source;
    run_free(rest->run);
    mem_free(rest);
}

struct store_source *rest_new(struct run *run) {
    struct rest *rest = mem_alloc(sizeof *rest);
    run_shed(run);
    rest->run = run;
    rest->source = (struct store_source){.write = write_record,
                                         .end = end,
                                         .definition = run->stage ? run->stage->source : NULL,
                                         .bytes = sizeof *rest + run_bytes(run)};
    atomic_init(&rest->source.references, 1);
    return &rest->source;
}
