/* Limits: how much may go on at once, and how fast. Of a stage (in its definition) or of an upstream host (the option
 * `upstreams`). */
#ifndef CONFIG_LIMITS_H
#define CONFIG_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/conf_file.h"

struct limits_breaker {
    int64_t window_ms; /* 0: there is none */
    int64_t pause_ms;
    int64_t minimum; /* calls in the window, before it judges */
    double ratio;    /* of them that failed: at this or above it opens */
};

struct limits {
    int64_t concurrency; /* 0: any */
    double per_second;   /* 0: any */
    int64_t gap_ms;      /* between calls that change things */
    int64_t queue;       /* how many may wait; -1: any */
    struct limits_breaker breaker;
};

struct limits_upstream {
    const char *host; /* lower case; "host" or "host:port" */
    struct limits limits;
};

void limits_init(struct limits *limits); /* none at all */
bool limits_same(const struct limits *a, const struct limits *b);

/* One setting: concurrency, rate, gap, queue, breaker (the defaults of one), breaker.window, .ratio, .minimum, .pause.
 * Faults: UNDEFINED (no such name), INVALID; `what` begins with the name. */
bool limits_set(struct limits *limits, struct text name, struct text value, struct fault *fault);

/* What limits_set takes, of a value in a file; NULL for one that is neither text nor number. */
const char *limits_text(struct arena *arena, const struct conf *value);

/* "api.github.com concurrency=20 rate=10/s gap=1s breaker.pause=1m". In `arena`. */
bool limits_upstream_parse(struct arena *arena, struct text t, struct limits_upstream *ret, struct fault *fault);
/* { host = "api.github.com"; concurrency = 20; breaker = { pause = "1m"; }; } *ret_at is the setting that is wrong. */
bool limits_upstream_read(struct arena *arena, const struct conf *group, struct limits_upstream *ret,
                          const struct conf **ret_at, struct fault *fault);

#endif
