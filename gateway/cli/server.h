/* A gateway that serves: what its main thread has. Private to cli/serve, which begins and ends it, and to cli/sources.
 */
#ifndef CLI_SERVER_H
#define CLI_SERVER_H

#include "cli/inherit.h"
#include "cli/upgrade.h"
#include "cli/watchdir.h"
#include "cli/worker.h"
#include "config/settings.h"
#include "run/contract.h"
#include "run/recovery.h"
#include "stage/catalog.h"

struct server {
    struct arena *arena;
    struct settings_input input; /* where the settings come from, for SIGHUP */
    const struct settings *settings;
    struct loop *loop; /* of the main thread */
    struct store *store;
    struct catalog *catalog; /* what workers were given last */
    struct callers *callers;
    struct tls_context *tls; /* until the workers have it */
    struct listen_socket **sockets;
    size_t socket_count;
    const char *callback_key, *callback_url; /* url "": nobody can be told where to call back */
    const char *self_test;                   /* the definition that is built in; NULL: the gateway cannot call itself */
    struct worker *workers;
    struct engines engines;
    struct gate *gate;
    struct holds holds;
    struct contracts *contracts;
    struct watchdir *watchdir;
    struct loop_watch *signals;
    int signal_fd;
    struct loop_timer prune_timer, drain_timer;
    struct store_op prune;
    struct inherit inherit;
    struct upgrade upgrade;
    struct recovery *recovery;
    int64_t resuming_since_ms;
    bool upgrade_waits; /* until all runs are back */
    bool draining;
    unsigned drained; /* workers */
};

#endif
