/* A disk that fails, or stands still, for the gateway under test: put in front of the C library by LD_PRELOAD.
 *
 * FAULTY_DISK names a file of three bytes, which the test changes while the gateway runs: the errno to fail with, how
 * many of a hundred calls fail, and whether a sync waits until this is 0 again. FAULTY_FILES is a part of the path of
 * the files that lie on that disk. What fails has done nothing, but for a write that finds the disk full: it writes
 * half, as a real one may. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static const volatile unsigned char *orders; /* errno, percent, stalls */
static const char *files;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTY_DISK");
    files = getenv("FAULTY_FILES");
    int fd = path && files ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(NULL, 3, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED) orders = map;
}

static int on_the_disk(int fd) {
    char link[40], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strstr(path, files) != NULL;
}

/* True, with errno: this call fails. */
static int fails(int fd) {
    static _Thread_local unsigned seed;
    if (!orders || orders[1] == 0 || !on_the_disk(fd)) return 0;
    if (seed == 0) seed = (unsigned)getpid() ^ (unsigned)(uintptr_t)&seed;
    if ((unsigned)rand_r(&seed) / 7 % 100 >= orders[1]) return 0;
    errno = orders[0];
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What a write that fails has still done; 0: nothing. */
static size_t part_of(size_t n) {
    return errno == ENOSPC ? n / 2 : 0;
}

ssize_t write(int fd, const void *at, size_t n) {
    if (!fails(fd)) return REAL(write)(fd, at, n);
    return part_of(n) ? REAL(write)(fd, at, part_of(n)) : -1;
}

ssize_t pwrite(int fd, const void *at, size_t n, off_t where) {
    if (!fails(fd)) return REAL(pwrite)(fd, at, n, where);
    return part_of(n) ? REAL(pwrite)(fd, at, part_of(n), where) : -1;
}

ssize_t pwrite64(int fd, const void *at, size_t n, off64_t where) {
    if (!fails(fd)) return REAL(pwrite64)(fd, at, n, where);
    return part_of(n) ? REAL(pwrite64)(fd, at, part_of(n), where) : -1;
}

static void wait_while_it_stalls(int fd) {
    while (orders && orders[2] && on_the_disk(fd)) usleep(1000);
}

int fsync(int fd) {
    wait_while_it_stalls(fd);
    return fails(fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    wait_while_it_stalls(fd);
    return fails(fd) ? -1 : REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t to) {
    return fails(fd) ? -1 : REAL(ftruncate)(fd, to);
}

int ftruncate64(int fd, off64_t to) {
    return fails(fd) ? -1 : REAL(ftruncate64)(fd, to);
}
