/* A wall clock that jumps, for the gateway under test: put in front of the C library by LD_PRELOAD.
 *
 * JUMPING_CLOCK names a file of 8 bytes, which the test changes while the gateway runs: the seconds by which
 * CLOCK_REALTIME is ahead (or behind, where negative). Other clocks are as they are. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead_s;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("JUMPING_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED) ahead_s = map;
}

int clock_gettime(clockid_t id, struct timespec *ret) {
    int rc = (int)syscall(SYS_clock_gettime, id, ret);
    if (rc == 0 && id == CLOCK_REALTIME && ahead_s) ret->tv_sec += *ahead_s;
    return rc;
}
