/* inotify on a few directories, not on their subdirectories.
 *
 * An editor's save, a `cp`, and the swap of a Kubernetes ConfigMap are each several events: they are gathered until it
 * is quiet. A directory that was moved away or removed loses its watch; a timer looks for it until it is there again.
 */
#include "cli/watchdir.h"

#include <sys/inotify.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define LOOK_AGAIN_MS 1000
#define EVENTS \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

struct watched {
    char *path;
    int id; /* -1: away */
};

struct watchdir {
    struct loop *loop;
    int fd;
    struct loop_watch *watch;
    struct loop_timer quiet, look;
    int64_t first_ms; /* of the flock; 0: none */
    void (*changed)(void *arg);
    void *arg;
    size_t count;
    struct watched watched[];
};

static void note_change(struct watchdir *dir) {
    int64_t now = loop_mono_ms(dir->loop), left = WATCHDIR_QUIET_MS;
    if (!dir->first_ms) dir->first_ms = now;
    if (now + left > dir->first_ms + WATCHDIR_LATEST_MS) left = dir->first_ms + WATCHDIR_LATEST_MS - now;
    loop_timer_set(&dir->quiet, left);
}

static void on_quiet(void *arg) {
    struct watchdir *dir = arg;
    dir->first_ms = 0;
    dir->changed(dir->arg);
}

static void on_look(void *arg) {
    struct watchdir *dir = arg;
    for (size_t i = 0; i < dir->count; i++) {
        if (dir->watched[i].id >= 0) continue;
        dir->watched[i].id = inotify_add_watch(dir->fd, dir->watched[i].path, EVENTS | IN_ONLYDIR);
        if (dir->watched[i].id >= 0) note_change(dir);
        else loop_timer_set(&dir->look, LOOK_AGAIN_MS);
    }
}

static void lose(struct watchdir *dir, int id) {
    for (size_t i = 0; i < dir->count; i++)
        if (dir->watched[i].id == id) dir->watched[i].id = -1;
    loop_timer_set(&dir->look, LOOK_AGAIN_MS);
}

static void on_events(void *arg, int fd, int events) {
    (void)events;
    struct watchdir *dir = arg;
    _Alignas(struct inotify_event) char room[8192];
    ssize_t n = read(fd, room, sizeof room);
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const void *)(room + at);
        at += (ssize_t)(sizeof *event + event->len);
        if (event->mask & IN_MOVE_SELF) inotify_rm_watch(fd, event->wd);
        if (event->mask & (IN_IGNORED | IN_MOVE_SELF)) lose(dir, event->wd);
        note_change(dir);
    }
}

struct watchdir *watchdir_new(struct loop *loop, const char *const *paths, size_t count, void (*changed)(void *arg),
                              void *arg) {
    struct watchdir *dir = mem_alloc(sizeof *dir + count * sizeof *dir->watched);
    *dir = (struct watchdir){.loop = loop, .changed = changed, .arg = arg};
    loop_timer_init(&dir->quiet, loop, "directory changed", on_quiet, dir);
    loop_timer_init(&dir->look, loop, "directory looked for", on_look, dir);
    dir->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (dir->fd < 0) {
        log_put(LOG_WARN, "directories_not_watched", NULL, LOG_STR("what", "inotify is not to be had; SIGHUP reloads"));
        return dir;
    }
    for (size_t i = 0; i < count; i++) {
        if (!paths[i]) continue;
        struct watched *watched = &dir->watched[dir->count++];
        *watched = (struct watched){mem_strdup(paths[i]), inotify_add_watch(dir->fd, paths[i], EVENTS | IN_ONLYDIR)};
        if (watched->id < 0) loop_timer_set(&dir->look, LOOK_AGAIN_MS);
    }
    dir->watch = loop_watch_new(loop, dir->fd, LOOP_READ, "directory", on_events, dir);
    return dir;
}

void watchdir_free(struct watchdir *dir) {
    if (!dir) return;
    loop_timer_clear(&dir->quiet);
    loop_timer_clear(&dir->look);
    loop_watch_free(dir->watch);
    if (dir->fd >= 0) close(dir->fd);
    for (size_t i = 0; i < dir->count; i++) mem_free(dir->watched[i].path);
    mem_free(dir);
}
