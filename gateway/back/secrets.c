/* Secrets, as a set that is swapped whole, and the masking of their values.
 *
 * A set is immutable once it is in force and counted by reference. Every call and every masked text asks for it, so
 * each thread holds the one it saw last, and comes to the lock only when its number is no longer the one in force.
 * Masking looks for each value in the forms in which it tends to come back (an upstream that echoes a request,
 * a header in an error page): as it is, percent-encoded, JSON-escaped, and base64 at each of the three offsets that it
 * can have inside a longer text, say "user:password".
 *
 * What was read before and is gone stays masked: a call that was rendered with it may still be under way, and its
 * upstream may echo it. A set keeps the last RETIRED_MAX of such values.
 *
 * Nearly all that is masked holds no secret, so a table of the first two bytes of all forms decides first: one lookup a
 * byte. Values under 4 bytes are not masked: "on" or "42" would be everywhere. */
#include "back/secrets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "lang/url.h"

#define VALUE_MAX (64 * 1024)
#define NAME_MAX_BYTES 128
#define MASKED_MIN 4
#define RETIRED_MAX 64
#define ENVIRONMENT_PREFIX "STAGEDOOR_SECRET_"
#define FORM_MAX (VALUE_MAX * 6) /* the longest encoding: a JSON escape is six bytes */

struct needle {
    struct text form;
    size_t next; /* 1 + the next needle that starts with the same byte, in the order of length; 0: none */
};

struct secrets {
    atomic_size_t references;
    uint64_t number; /* counts the sets, from 1 */
    struct arena *arena;
    struct json *values;
    struct json *retired;   /* an array: values of earlier sets, the latest first */
    struct needle *needles; /* the longest first */
    size_t count, cap;
    size_t first[256];        /* 1 + the longest needle that starts with the byte */
    uint8_t pairs[65536 / 8]; /* the first two bytes of every needle */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the two that follow */
static struct secrets *in_force;
static uint64_t count_so_far;
static _Atomic uint64_t number_in_force; /* 0: there is none. Changed under the lock, read without it */
static _Thread_local struct secrets *held;
static pthread_key_t held_key; /* the same, so that it is let go when its thread ends */
static pthread_once_t held_once = PTHREAD_ONCE_INIT;

/* ---- forms of a value ---- */

static void add_needle(struct secrets *secrets, struct text form) {
    if (form.len < MASKED_MIN) return;
    for (size_t i = 0; i < secrets->count; i++)
        if (text_same(secrets->needles[i].form, form)) return;
    if (secrets->count == secrets->cap) {
        secrets->cap = secrets->cap ? secrets->cap * 2 : 64;
        secrets->needles = mem_resize(secrets->needles, secrets->cap * sizeof *secrets->needles);
    }
    char *copy = arena_strndup(secrets->arena, form.at, form.len);
    secrets->needles[secrets->count++] = (struct needle){.form = {copy, form.len}};
}

/* Base64 of `offset` unknown bytes, the value, and unknown bytes: the characters that only the value decides. */
static void add_base64(struct secrets *secrets, struct text value, size_t offset) {
    size_t len = offset + value.len, first = (offset * 8 + 5) / 6, last = len * 8 / 6;
    unsigned char *plain = mem_alloc(len), *coded = mem_alloc((len + 2) / 3 * 4 + 1);
    memcpy(plain + offset, value.at, value.len);
    EVP_EncodeBlock(coded, plain, (int)len);
    struct text form = {(char *)coded + first, last - first};
    add_needle(secrets, form);
    for (size_t i = 0; i < last; i++) /* RFC 4648, section 5: the alphabet for URLs */
        coded[i] = coded[i] == '+' ? '-' : coded[i] == '/' ? '_' : coded[i];
    add_needle(secrets, form);
    mem_free(plain);
    mem_free(coded);
}

/* As a form writes it: "+" for a space. */
static void add_plus(struct secrets *secrets, struct text percent) {
    struct buf form;
    buf_init(&form, FORM_MAX);
    for (size_t i = 0; i < percent.len; i++) {
        bool space = percent.len - i >= 3 && memcmp(percent.at + i, "%20", 3) == 0;
        buf_addc(&form, space ? '+' : percent.at[i]);
        if (space) i += 2;
    }
    add_needle(secrets, buf_text(&form));
    buf_fini(&form);
}

static void add_percent(struct secrets *secrets, struct text value, struct buf *form) {
    buf_clear(form);
    url_encode(form, value);
    add_needle(secrets, buf_text(form));
    add_plus(secrets, buf_text(form));
    for (size_t i = 0; i < form->len; i++) /* the same with small digits */
        if (form->at[i] == '%')
            for (size_t j = i + 1; j <= i + 2; j++)
                if (form->at[j] >= 'A') form->at[j] = (char)(form->at[j] | 0x20);
    add_needle(secrets, buf_text(form));
}

static void add_json(struct secrets *secrets, struct text value, struct buf *form) {
    buf_clear(form);
    buf_add_json_inner(form, value);
    add_needle(secrets, buf_text(form));
    struct text plain = {arena_strndup(secrets->arena, buf_cstr(form), form->len), form->len};
    buf_clear(form);
    for (size_t i = 0; i < plain.len; i++) { /* PHP and others escape the slash too */
        if (plain.at[i] == '/') buf_addc(form, '\\');
        buf_addc(form, plain.at[i]);
    }
    add_needle(secrets, buf_text(form));
}

static void add_forms(struct secrets *secrets, struct text value) {
    struct buf form;
    if (value.len < MASKED_MIN) return;
    buf_init(&form, FORM_MAX);
    add_needle(secrets, value);
    add_percent(secrets, value, &form);
    add_json(secrets, value, &form);
    for (size_t offset = 0; offset < 3; offset++) add_base64(secrets, value, offset);
    buf_fini(&form);
}

static int by_length(const void *a, const void *b) {
    size_t left = ((const struct needle *)a)->form.len, right = ((const struct needle *)b)->form.len;
    return left < right ? 1 : left > right ? -1 : 0;
}

static unsigned pair_at(const char *at) {
    return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

static void index_needles(struct secrets *secrets) {
    if (secrets->count) qsort(secrets->needles, secrets->count, sizeof *secrets->needles, by_length);
    for (size_t i = secrets->count; i-- > 0;) {
        struct needle *needle = &secrets->needles[i];
        size_t *first = &secrets->first[(unsigned char)needle->form.at[0]];
        unsigned pair = pair_at(needle->form.at);
        needle->next = *first;
        *first = i + 1;
        secrets->pairs[pair / 8] = (uint8_t)(secrets->pairs[pair / 8] | 1 << pair % 8);
    }
}

/* ---- reading ---- */

static bool add_value(struct secrets *secrets, const char *name, struct text value, const char *where,
                      struct fault *fault) {
    if (value.len > VALUE_MAX)
        return fault_set(fault, FAULT_TOO_LARGE, where, "a secret may have at most %d KiB", VALUE_MAX / 1024);
    if (!text_utf8_check(value) || (value.len && memchr(value.at, 0, value.len)))
        return fault_set(fault, FAULT_INVALID, where, "the value is not UTF-8 text");
    if (value.len < MASKED_MIN)
        log_put(LOG_WARN, "secret_too_short_to_mask", NULL, LOG_STR("secret", name), LOG_INT("bytes", value.len));
    json_set(secrets->values, name, json_new_text(secrets->arena, value));
    return true;
}

static bool read_environment(struct secrets *secrets, struct fault *fault) {
    for (char **entry = environ; entry && *entry; entry++) {
        struct text value = text_of(*entry), variable;
        if (!text_starts(value, ENVIRONMENT_PREFIX) || !text_cut(&value, '=', &variable) || !value.at) continue;
        char *where = arena_strndup(secrets->arena, variable.at, variable.len);
        char *name = arena_strdup(secrets->arena, where + strlen(ENVIRONMENT_PREFIX));
        for (char *c = name; *c; c++)
            if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
        if (*name && !add_value(secrets, name, value, where, fault)) return false;
    }
    return true;
}

static bool read_all(int fd, struct buf *content) {
    for (;;) {
        char piece[4096];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0 || content->full) return n == 0 || content->full;
        buf_add(content, piece, (size_t)n);
    }
}

static struct text without_newline(struct text value) {
    if (value.len && value.at[value.len - 1] == '\n') value.len--;
    else return value;
    if (value.len && value.at[value.len - 1] == '\r') value.len--;
    return value;
}

static bool read_content(struct secrets *secrets, const char *name, int fd, const char *where, struct fault *fault) {
    struct buf content;
    buf_init(&content, VALUE_MAX + 2); /* the newline does not count */
    bool ok = read_all(fd, &content);
    if (!ok) fault_set(fault, FAULT_IO, where, "the file cannot be read: %s", strerror(errno));
    else if (content.full)
        ok = fault_set(fault, FAULT_TOO_LARGE, where, "a secret may have at most %d KiB", VALUE_MAX / 1024);
    else ok = add_value(secrets, name, without_newline(buf_text(&content)), where, fault);
    if (content.at) explicit_bzero(content.at, content.cap);
    buf_fini(&content);
    return ok;
}

static bool read_file(struct secrets *secrets, int directory, const char *name, const char *where,
                      struct fault *fault) {
    struct stat status;
    if (strlen(name) > NAME_MAX_BYTES || !text_utf8_check(text_of(name)))
        return fault_set(fault, FAULT_INVALID, where, "the name of the file cannot be that of a secret");
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
    if (fd < 0) return fault_set(fault, FAULT_IO, where, "the file cannot be read: %s", strerror(errno));
    bool ok = true;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) ok = read_content(secrets, name, fd, where, fault);
    close(fd);
    return ok;
}

static bool read_directory(struct secrets *secrets, const char *path, struct fault *fault) {
    DIR *directory = opendir(path);
    if (!directory)
        return fault_set(fault, FAULT_IO, path, "the directory of secrets cannot be read: %s", strerror(errno));
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue; /* Kubernetes: ..data and what it points to */
        char *where = arena_printf(secrets->arena, "%s/%s", path, entry->d_name);
        ok = read_file(secrets, dirfd(directory), entry->d_name, where, fault);
    }
    closedir(directory);
    return ok;
}

/* ---- sets ---- */

static void secrets_free(struct secrets *secrets) {
    mem_free(secrets->needles);
    arena_free(secrets->arena);
    mem_free(secrets);
}

static bool has_value(const struct secrets *secrets, struct text value) {
    for (struct json_member m = json_first(secrets->values); m.name.at; m = json_next(secrets->values, m))
        if (text_same(json_text(m.value), value)) return true;
    for (size_t i = 0; i < json_size(secrets->retired); i++)
        if (text_same(json_text(json_at(secrets->retired, i)), value)) return true;
    return false;
}

static void retire(struct secrets *secrets, struct text value) {
    if (json_size(secrets->retired) < RETIRED_MAX && !has_value(secrets, value))
        json_push(secrets->retired, json_new_text(secrets->arena, value));
}

static void retire_all(struct secrets *secrets, const struct secrets *former) {
    for (struct json_member m = json_first(former->values); m.name.at; m = json_next(former->values, m))
        retire(secrets, json_text(m.value));
    for (size_t i = 0; i < json_size(former->retired); i++) retire(secrets, json_text(json_at(former->retired, i)));
}

static void make_needles(struct secrets *secrets) {
    for (struct json_member m = json_first(secrets->values); m.name.at; m = json_next(secrets->values, m))
        add_forms(secrets, json_text(m.value));
    for (size_t i = 0; i < json_size(secrets->retired); i++)
        add_forms(secrets, json_text(json_at(secrets->retired, i)));
    index_needles(secrets);
}

/* `former` may be NULL. */
static struct secrets *secrets_read(const char *directory, const struct secrets *former, struct fault *fault) {
    struct secrets *secrets = mem_alloc(sizeof *secrets);
    atomic_init(&secrets->references, 1);
    secrets->arena = arena_new();
    secrets->values = json_new_object(secrets->arena);
    secrets->retired = json_new_array(secrets->arena);
    if (!read_environment(secrets, fault) || (directory && !read_directory(secrets, directory, fault))) {
        secrets_free(secrets);
        return NULL;
    }
    if (former) retire_all(secrets, former);
    make_needles(secrets);
    return secrets;
}

static void put_in_force(struct secrets *secrets) {
    pthread_mutex_lock(&lock);
    struct secrets *old = in_force;
    in_force = secrets;
    if (secrets) secrets->number = ++count_so_far;
    atomic_store_explicit(&number_in_force, secrets ? secrets->number : 0, memory_order_release);
    pthread_mutex_unlock(&lock);
    secrets_unref(old);
}

static void let_go(void *secrets) {
    secrets_unref(secrets);
}

static void make_key(void) {
    if (pthread_key_create(&held_key, let_go) != 0) abort();
}

static void hold_anew(void) {
    pthread_once(&held_once, make_key);
    struct secrets *old = held;
    pthread_mutex_lock(&lock);
    held = in_force;
    if (held) atomic_fetch_add_explicit(&held->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    if (pthread_setspecific(held_key, held) != 0) abort();
    secrets_unref(old);
}

/* The set in force, which this thread holds until it asks again. */
static struct secrets *secrets_now(void) {
    uint64_t number = atomic_load_explicit(&number_in_force, memory_order_acquire);
    if (number != (held ? held->number : 0)) hold_anew();
    return held;
}

bool secrets_load(const char *directory, struct fault *fault) {
    struct secrets *fresh = secrets_read(directory, secrets_now(), fault);
    if (fresh) put_in_force(fresh);
    return fresh;
}

struct secrets *secrets_ref(void) {
    struct secrets *secrets = secrets_now();
    if (secrets) atomic_fetch_add_explicit(&secrets->references, 1, memory_order_relaxed);
    return secrets;
}

void secrets_unref(struct secrets *secrets) {
    if (!secrets || atomic_fetch_sub_explicit(&secrets->references, 1, memory_order_acq_rel) != 1) return;
    secrets_free(secrets);
}

void secrets_unload(void) {
    put_in_force(NULL);
    secrets_now();
}

const struct json *secrets_json(const struct secrets *secrets) {
    return secrets ? secrets->values : NULL;
}

bool secrets_known(void *unused, const char *name) {
    (void)unused;
    return json_gets(secrets_json(secrets_now()), name) != NULL;
}

/* ---- masking ---- */

/* The length of the longest form that stands at `at`, or 0. */
static size_t match(const struct secrets *secrets, const char *at, size_t left) {
    unsigned pair = pair_at(at);
    if (!(secrets->pairs[pair / 8] & 1 << pair % 8)) return 0;
    for (size_t i = secrets->first[pair >> 8]; i; i = secrets->needles[i - 1].next) {
        struct text form = secrets->needles[i - 1].form;
        if (form.len <= left && memcmp(form.at, at, form.len) == 0) return form.len;
    }
    return 0;
}

/* The next stretch that is covered by forms, which may overlap each other; false where there is none from `from` on. */
static bool next_stretch(const struct secrets *secrets, struct text t, size_t from, size_t *ret_start,
                         size_t *ret_end) {
    size_t end = 0;
    for (size_t i = from; i + MASKED_MIN <= t.len; i++) {
        if (end && i >= end) break;
        size_t len = match(secrets, t.at + i, t.len - i);
        if (!len) continue;
        if (!end) *ret_start = i;
        if (i + len > end) end = i + len;
    }
    *ret_end = end;
    return end != 0;
}

bool secrets_find(struct text t, size_t from, size_t *ret_start, size_t *ret_end) {
    const struct secrets *secrets = secrets_now();
    return secrets && secrets->count && next_stretch(secrets, t, from, ret_start, ret_end);
}

bool secrets_mask_text(struct text t, struct buf *ret_masked) {
    const struct secrets *secrets = secrets_now();
    size_t from = 0, start = 0, end = 0;
    if (!secrets || !secrets->count) return false;
    while (next_stretch(secrets, t, from, &start, &end)) {
        buf_add(ret_masked, t.at + from, start - from);
        buf_adds(ret_masked, "***");
        from = end;
    }
    if (from) buf_add(ret_masked, t.at + from, t.len - from);
    return from != 0;
}

void secrets_mask(struct buf *line) {
    struct buf masked;
    buf_init(&masked, line->len * 2); /* "***" is shorter than any form */
    if (secrets_mask_text(buf_text(line), &masked)) {
        size_t max = line->max;
        buf_fini(line);
        *line = masked;
        line->max = max;
        return;
    }
    buf_fini(&masked);
}
