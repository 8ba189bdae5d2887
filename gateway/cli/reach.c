/* Reads addresses and what guards them; opens nothing.
 *
 * serve refuses settings that would let strangers in, and doctor says the same in its own words: so there is one place
 * that knows. By which address upstreams call back, and the gateway itself, is found from those that it listens on. */
#include "cli/reach.h"

#include "stage/self_test.h"

bool reach_check(const struct settings *settings, struct fault *fault) {
    bool tls = false;
    for (size_t i = 0; i < settings->listen.count; i++) {
        struct listen_address address;
        if (!listen_address_parse(text_of(settings->listen.items[i]), &address, fault)) return false;
        tls = tls || address.tls;
        if (address.tls && !settings->tls_certificate[0])
            return fault_set(fault, FAULT_INVALID, settings->listen.items[i], "a tls: address needs tls_certificate");
        bool shown = address.tls && settings->tls_client_ca[0]; /* a certificate, by each client of this address */
        if (!address.loopback && !settings->callers[0] && !settings->open && !shown)
            return fault_set(
                fault, FAULT_INVALID, settings->listen.items[i],
                "this address can be reached from other machines, and anybody who does could start every stage: "
                "name who may in a callers file (callers = \"callers.conf\"), or set open = true");
    }
    if (settings->tls_certificate[0] && !tls)
        return fault_set(fault, FAULT_INVALID, "tls_certificate",
                         "there is a certificate, but no address that uses it: write it as tls:ADDRESS in listen");
    return true;
}

bool reach_from_upstreams(const struct settings *settings) {
    bool can = settings->public_url[0];
    struct buf url;
    buf_init(&url, 1024);
    for (size_t i = 0; i < settings->listen.count; i++)
        can = can || listen_address_url(text_of(settings->listen.items[i]), &url);
    buf_fini(&url);
    return can;
}

bool reach_here(const struct settings *settings, struct buf *ret_url) {
    for (int tls = 0; tls < 2; tls++)
        for (size_t i = 0; i < settings->listen.count; i++) {
            struct listen_address address;
            struct text t = text_of(settings->listen.items[i]);
            struct buf path;
            bool found = false;
            buf_init(&path, 1024);
            buf_clear(ret_url);
            if (listen_address_parse(t, &address, NULL) && address.tls == (tls == 1))
                found = listen_address_own_url(t, ret_url, &path) && !(path.len && tls);
            if (found && path.len) {
                buf_clear(ret_url);
                buf_addf(ret_url, "unix:%s", buf_cstr(&path));
            }
            buf_fini(&path);
            if (found) return true;
        }
    return false;
}

const char *reach_callback_url(struct arena *arena, const struct settings *settings,
                               struct listen_socket *const *sockets, size_t count) {
    if (settings->public_url[0]) return settings->public_url;
    struct buf url;
    buf_init(&url, 1024);
    for (size_t i = 0; i < count; i++)
        if (listen_address_url(text_of(listen_socket_address(sockets[i])), &url)) break;
    const char *made = arena_strdup(arena, buf_cstr(&url));
    buf_fini(&url);
    return made;
}

static const char *self_test_by(struct arena *arena, const struct listen_socket *socket) {
    const char *made = NULL;
    struct buf url, path;
    buf_init(&url, 1024);
    buf_init(&path, 1024);
    if (listen_address_own_url(text_of(listen_socket_address(socket)), &url, &path))
        made = self_test_source(arena, &(struct self_test_place){buf_cstr(&url), path.len ? buf_cstr(&path) : NULL});
    buf_fini(&path);
    buf_fini(&url);
    return made;
}

const char *reach_self_test(struct arena *arena, const struct settings *settings, struct listen_socket *const *sockets,
                            size_t count) {
    const char *made = NULL;
    for (int tls = 0; tls < 2 && !made; tls++) {
        if (tls && settings->tls_client_ca[0]) break;
        for (size_t i = 0; i < count && !made; i++)
            if (listen_socket_wants_tls(sockets[i]) == (tls == 1)) made = self_test_by(arena, sockets[i]);
    }
    return made;
}
