/* The stage that is built in: it asks the gateway itself, so that it needs no file and no upstream elsewhere. */
#ifndef STAGE_SELF_TEST_H
#define STAGE_SELF_TEST_H

#include <stdbool.h>

#include "base/mem.h"

#define SELF_TEST_NAME "self-test"

/* How the gateway can call itself. */
struct self_test_place {
    const char *base_url;    /* "http://127.0.0.1:8095" */
    const char *unix_socket; /* what is connected to in place of the URL's host; NULL: the host */
};

/* Its definition, in the form that stage_load_source takes; in `arena`. */
const char *self_test_source(struct arena *arena, const struct self_test_place *place);

#endif
