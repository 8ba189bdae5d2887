/* What doctor looks at on the gateway's own machine: everything that serve reads before it listens.
 *
 * It changes nothing: the store is not opened, since that would make it, or find it held by the gateway that runs.
 * Whether it could be written is asked of the file system, for the user who runs doctor. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "back/secrets.h"
#include "base/clock.h"
#include "cli/descriptors.h"
#include "cli/doctor.h"
#include "cli/reach.h"
#include "cli/worker.h"
#include "front/callers.h"
#include "front/tls.h"
#include "stage/catalog.h"

#define FREE_LEAST_BYTES ((uint64_t)256 * 1024 * 1024)

extern char **environ;

static const struct settings *read_settings(struct doctor *d) {
    struct settings *settings = arena_new_of(d->arena, struct settings);
    struct settings_input input = {.config = d->config, .environment = (const char *const *)environ};
    struct faults faults;
    faults_init(&faults);
    bool good = settings_load(d->arena, &input, settings, &faults);
    for (size_t i = 0; i < faults.count; i++)
        findings_add_fault(&d->findings, FINDINGS_FAILED, "config", "docs/options.md has every option",
                           &faults.items[i]);
    faults_fini(&faults);
    if (!good) return NULL;
    size_t n = strlen(settings->public_url);
    if (n && settings->public_url[n - 1] == '/')
        settings->public_url = arena_strndup(d->arena, settings->public_url, n - 1);
    findings_add(&d->findings, FINDINGS_OK, "config", NULL, "%s",
                 settings->config ? settings->config : "there is no stagedoor.conf here: defaults and the environment");
    return settings;
}

static void check_listen(struct doctor *d) {
    const struct settings *s = d->settings;
    struct fault fault;
    struct buf all;
    if (!reach_check(s, &fault)) {
        findings_add_fault(&d->findings, FINDINGS_FAILED, "listen", NULL, &fault);
        return;
    }
    buf_init(&all, 64 * 1024);
    for (size_t i = 0; i < s->listen.count; i++) buf_addf(&all, "%s%s", i ? ", " : "", s->listen.items[i]);
    if (s->open && !s->callers[0])
        findings_add(&d->findings, FINDINGS_WARNING, "listen", "name who may in a callers file, and drop open = true",
                     "%s, and whoever can connect may start every stage", buf_cstr(&all));
    else findings_add(&d->findings, FINDINGS_OK, "listen", NULL, "%s", buf_cstr(&all));
    buf_fini(&all);
}

static void check_certificate(struct doctor *d) {
    const struct settings *s = d->settings;
    struct fault fault;
    if (!s->tls_certificate[0]) return;
    struct tls_context *tls = tls_context_new(s->tls_certificate, s->tls_key[0] ? s->tls_key : s->tls_certificate,
                                              s->tls_client_ca[0] ? s->tls_client_ca : NULL, &fault);
    if (tls) findings_add(&d->findings, FINDINGS_OK, "certificate", NULL, "%s fits its key", s->tls_certificate);
    else
        findings_add_fault(&d->findings, FINDINGS_FAILED, "certificate",
                           "tls_certificate is a PEM file with the chain, tls_key the key of its first certificate",
                           &fault);
    tls_context_free(tls);
}

static void check_callers(struct doctor *d) {
    struct faults faults;
    if (!d->settings->callers[0]) return;
    faults_init(&faults);
    struct callers *callers = callers_load(d->settings->callers, &faults);
    for (size_t i = 0; i < faults.count; i++)
        findings_add_fault(&d->findings, FINDINGS_FAILED, "callers", "docs/operations.md says how one is written",
                           &faults.items[i]);
    if (callers) findings_add(&d->findings, FINDINGS_OK, "callers", NULL, "%s", d->settings->callers);
    callers_unref(callers);
    faults_fini(&faults);
}

/* ---- definitions and secrets ---- */

static bool check_secrets(struct doctor *d) {
    const char *directory = d->settings->secrets[0] ? d->settings->secrets : NULL;
    struct fault fault;
    if (!secrets_load(directory, &fault)) {
        findings_add_fault(&d->findings, FINDINGS_FAILED, "secrets",
                           "a secret is a file of UTF-8 text, of 64 KiB at most", &fault);
        return false;
    }
    struct secrets *secrets = secrets_ref();
    findings_add(&d->findings, FINDINGS_OK, "secrets", NULL, "%zu, from %s%sthe environment",
                 json_size(secrets_json(secrets)), directory ? directory : "", directory ? " and " : "");
    secrets_unref(secrets);
    return true;
}

static void tell_broken(struct doctor *d, const struct catalog_entry *entry) {
    const struct fault *first = &entry->faults[0];
    if (entry->fault_count > 1)
        findings_add(&d->findings, FINDINGS_FAILED, "stages", "stagedoor check shows each with its line",
                     "%s: %s (and %zu more)", first->where, first->what, entry->fault_count - 1);
    else findings_add_fault(&d->findings, FINDINGS_FAILED, "stages", "stagedoor check shows it with its line", first);
}

/* One line for all: a good part of what ships waits for secrets that nobody here has, and that is no fault. */
static void tell_disabled(struct doctor *d, const struct catalog *catalog) {
    size_t count = 0;
    struct buf names;
    buf_init(&names, 64 * 1024);
    for (size_t i = 0; i < catalog->count; i++) {
        const char *why = catalog->entries[i].disabled, *secret = why ? strstr(why, "secret") : NULL;
        if (!secret) continue; /* enabled = false is meant */
        buf_addf(&names, "%s%s (%.*s)", count++ ? ", " : "", catalog->entries[i].name, (int)strcspn(secret, ";"),
                 secret);
    }
    if (count)
        findings_add(&d->findings, FINDINGS_WARNING, "stages",
                     d->settings->secrets[0]
                         ? arena_printf(d->arena, "put each into a file of its name in %s", d->settings->secrets)
                         : "set STAGEDOOR_SECRET_NAME for each, or name a directory: secrets = \"…\"",
                     "%zu not offered for want of secrets: %s", count, buf_cstr(&names));
    buf_fini(&names);
}

static void check_stages(struct doctor *d) {
    struct stage_context context = {.templates = d->settings->templates,
                                    .secret_known = secrets_known,
                                    .no_callbacks = !reach_from_upstreams(d->settings)};
    struct fault fault;
    struct catalog *catalog = catalog_load(d->settings->stages, &context, NULL, clock_wall_ms(), &fault);
    if (!catalog) {
        findings_add_fault(&d->findings, FINDINGS_FAILED, "stages", "stages = \"…\" names the directory of definitions",
                           &fault);
        return;
    }
    size_t offered = 0;
    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_entry *entry = &catalog->entries[i];
        offered += entry->stage != NULL;
        if (entry->fault_count) tell_broken(d, entry);
        for (size_t j = 0; entry->stage && j < entry->stage->warning_count; j++)
            findings_add_fault(&d->findings, FINDINGS_WARNING, "stages", NULL, &entry->stage->warnings[j]);
    }
    tell_disabled(d, catalog);
    if (offered)
        findings_add(&d->findings, FINDINGS_OK, "stages", NULL, "%zu offered from %s", offered, d->settings->stages);
    else
        findings_add(&d->findings, FINDINGS_WARNING, "stages", "put a definition into it: docs/definitions.md",
                     "%s has none to offer", d->settings->stages);
    catalog_unref(catalog);
}

/* ---- the store ---- */

static bool is_store_file(const char *path) {
    static const char magic[16] = "SQLite format 3";
    char head[sizeof magic];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return true; /* that it cannot be read was said */
    ssize_t n = read(fd, head, sizeof head);
    close(fd);
    return n == 0 || (n == (ssize_t)sizeof head && memcmp(head, magic, sizeof magic) == 0);
}

static const char *directory_of(struct arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return ".";
    return slash == path ? "/" : arena_strndup(arena, path, (size_t)(slash - path));
}

static bool check_writable(struct doctor *d, const char *path, const char *directory) {
    const char *mend = arena_printf(d->arena, "the gateway's user has to own it; doctor was run by user id %u",
                                    (unsigned)geteuid());
    const char *wrong = faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0 ? directory : NULL;
    if (!wrong && faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0 && errno != ENOENT) wrong = path;
    if (!wrong) return true;
    findings_add(&d->findings, FINDINGS_FAILED, "store",
                 errno == ENOENT ? "make the directory, for the gateway's user" : mend, "%s cannot be written: %s",
                 wrong, strerror(errno));
    return false;
}

static void check_store(struct doctor *d) {
    const char *path = d->settings->store + strlen("sqlite:");
    const char *directory = directory_of(d->arena, path);
    struct statvfs disk;
    struct stat about;
    if (strncmp(d->settings->store, "sqlite:", 7) != 0) {
        findings_add(&d->findings, FINDINGS_SKIPPED, "store", NULL,
                     "only a store of the form sqlite:PATH is looked at");
        return;
    }
    if (!check_writable(d, path, directory)) return;
    bool there = stat(path, &about) == 0;
    if (there && !is_store_file(path))
        findings_add(&d->findings, FINDINGS_FAILED, "store", "name another file: store = \"sqlite:PATH\"",
                     "%s is something else than a store", path);
    else if (there && (about.st_mode & 077))
        findings_add(&d->findings, FINDINGS_WARNING, "store", "chmod 600",
                     "%s can be read by others: parameters and replies of runs stand in it", path);
    else if (statvfs(directory, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < FREE_LEAST_BYTES)
        findings_add(&d->findings, FINDINGS_WARNING, "store", "make room, or set a shorter retention",
                     "%s has %llu MiB left", directory,
                     (unsigned long long)((uint64_t)disk.f_bavail * disk.f_frsize / (1024 * 1024)));
    else findings_add(&d->findings, FINDINGS_OK, "store", NULL, "%s can be %s", path, there ? "written" : "made");
}

static void check_limits(struct doctor *d) {
    int64_t wanted = d->settings->max_connections, most = descriptors_for_clients(wanted, worker_count(d->settings));
    if (most == wanted) return;
    findings_add(&d->findings, FINDINGS_WARNING, "limits",
                 "raise the limit of descriptors (LimitNOFILE= in systemd, ulimit -Hn), or lower max_connections",
                 "max_connections = %lld, of which there is room for %lld", (long long)wanted, (long long)most);
}

void doctor_local(struct doctor *doctor) {
    doctor->settings = read_settings(doctor);
    if (!doctor->settings) return;
    check_listen(doctor);
    check_certificate(doctor);
    check_callers(doctor);
    if (check_secrets(doctor)) check_stages(doctor);
    else findings_add(&doctor->findings, FINDINGS_SKIPPED, "stages", NULL, "definitions need the secrets");
    check_store(doctor);
    check_limits(doctor);
}
