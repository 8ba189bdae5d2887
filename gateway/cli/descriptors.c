/* Descriptors by RLIMIT_NOFILE (getrlimit(2)). What counts is the hard limit, which serve raises the soft one to, so
 * that doctor says what serve will do. */
#include "cli/descriptors.h"

#include <sys/resource.h>

#include "front/listener.h"

#define KEPT 1000
#define OF_A_LOOP 16 /* its own: epolls, eventfds, listening sockets */

void descriptors_raise(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int64_t descriptors_for_clients(int64_t wanted, unsigned loops) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max > INT64_MAX) return wanted;
    int64_t all = (int64_t)limit.rlim_max - (int64_t)loops * (OF_A_LOOP + LISTENER_OVER(0));
    int64_t most = all / 4 < KEPT ? all - all / 4 : all - KEPT;
    most = most * LISTENER_SHARE / (LISTENER_SHARE + 1);
    if (most < 1) most = 1;
    return wanted < most ? wanted : most;
}
