/* Handing over to a new process, on SIGUSR2: the program as it lies on the disk now takes over sockets, store and runs,
 * and nobody who calls or is called sees more of it than a new connection.
 *
 *   old                                        new
 *   starts it with the sockets          ->     reads and checks everything but the store
 *   LEAVING   answers say "close"       <-     PREPARED
 *   SETTLING  calls that may not be repeated come to their end, new ones are held back
 *   RETIRING  accepts no more; what was accepted is answered
 *   EMPTYING  all is recorded
 *   closes the store                    ->     opens it, goes on with the runs, accepts
 *   ends                                <-     READY
 *
 * Where the new process fails before RETIRING, the old one goes on as if nothing had been. Where it fails later, the
 * old one becomes a new process of its own program, on the same sockets. */
#ifndef CLI_UPGRADE_H
#define CLI_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"
#include "base/loop.h"
#include "cli/inherit.h"
#include "cli/worker.h"

enum upgrade_state {
    UPGRADE_NONE,
    UPGRADE_STARTING,
    UPGRADE_LEAVING,
    UPGRADE_SETTLING,
    UPGRADE_RETIRING,
    UPGRADE_EMPTYING,
    UPGRADE_OVER, /* the loops may be ended */
    UPGRADE_STATES
};

struct upgrade {
    struct loop *loop; /* of the main thread, where all of this happens */
    struct arena *arena;
    char **argv; /* as this process was started */
    const char *program, *image;
    struct worker *workers;
    unsigned worker_count;
    struct listen_socket *const *sockets;
    size_t socket_count;
    int64_t patience_ms;     /* for calls that may not be repeated */
    void (*over)(void *arg); /* UPGRADE_OVER has come */
    void *arg;

    enum upgrade_state state;
    pid_t pid;
    int line;
    bool failed; /* the new process, while it was too late to go back */
    struct loop_watch *watch;
    struct loop_timer timer;
    unsigned waiting; /* workers that have not done this state's part */
    struct upgrade_report {
        struct upgrade *upgrade;
        enum upgrade_state state;
    } reports[UPGRADE_STATES];
};

/* At start; `workers` and the following members are set before upgrade_begin. */
void upgrade_init(struct upgrade *upgrade, struct loop *loop, struct arena *arena);
void upgrade_fini(struct upgrade *upgrade);

void upgrade_begin(struct upgrade *upgrade);  /* logs how it goes; does nothing while one is under way */
bool upgrade_revoke(struct upgrade *upgrade); /* ends the new process. False: it is too late to serve on */

/* After UPGRADE_OVER, when the loops have ended and the store is closed: blocks until the new process is ready. A
 * signal to end that comes meanwhile is passed on to it. */
bool upgrade_finish(struct upgrade *upgrade, int signal_fd);
void upgrade_fall_back(struct upgrade *upgrade); /* where that was in vain; returns only if it fails */

#endif
