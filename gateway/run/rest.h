/* A run that is over and was never on a disk: kept as it is, and its record written when somebody asks. */
#ifndef RUN_REST_H
#define RUN_REST_H

#include "run/run.h"
#include "store/store.h"

/* TAKES the run, and lets go of what no record of an ended run has. GIVES a source with one reference; reading it never
 * changes the run. */
struct store_source *rest_new(struct run *run);

#endif
