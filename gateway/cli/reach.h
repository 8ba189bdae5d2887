/* How a gateway with these settings is reached, and by whom: what serve insists on, and what check and doctor say. */
#ifndef CLI_REACH_H
#define CLI_REACH_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/settings.h"
#include "front/listen_socket.h"

/* Whoever can connect may start everything: that is fine on this machine, and nowhere else unless somebody said so. */
bool reach_check(const struct settings *settings, struct fault *fault);

/* Whether upstreams can be told where to call back: public_url, or an address that names one. */
bool reach_from_upstreams(const struct settings *settings);

/* How a client on this machine calls it: "http://127.0.0.1:8095" or "unix:/path", an address without TLS before one
 * with. False where there is none. */
bool reach_here(const struct settings *settings, struct buf *ret_url);

/* What upstreams are told: public_url, else the first address of ours that they could call, as on one machine; "" where
 * there is none. */
const char *reach_callback_url(struct arena *arena, const struct settings *settings,
                               struct listen_socket *const *sockets, size_t count);

/* The definition of the stage by which the gateway tests itself: by an address without TLS where there is one. Where
 * only those get in who show a certificate, the gateway has none to show. NULL: it cannot call itself. */
const char *reach_self_test(struct arena *arena, const struct settings *settings, struct listen_socket *const *sockets,
                            size_t count);

#endif
