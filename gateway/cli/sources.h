/* What operators may change while the gateway serves, read at the start and again when told: options, definitions,
 * callers, certificates, secrets. Private to cli/serve.
 *
 * Each is read whole before anything of it is in force: what is broken leaves what was there before, and the log says
 * so. Workers that are there are handed the new one. */
#ifndef CLI_SOURCES_H
#define CLI_SOURCES_H

#include "cli/server.h"

/* settings_load, with public_url as it is used: without a slash at its end. */
bool sources_read_settings(struct arena *arena, const struct settings_input *input, struct settings *ret_settings,
                           struct faults *faults);
bool sources_read_secrets(const struct server *server, struct fault *fault);
bool sources_read_catalog(struct server *server, struct fault *fault); /* a broken definition is no fault, but logged */
bool sources_read_callers(struct server *server, struct faults *faults);
bool sources_read_certificates(struct server *server, struct tls_context **ret_tls, struct fault *fault); /* NULL: no
                                                                                                     TLS */
void sources_reload(struct server *server);        /* all of them */
void sources_reload_catalog(void *server);         /* definitions alone, when their directory has changed */
void sources_tune(struct server *server);          /* gives the gate what limits there are */
size_t sources_count(const struct server *server); /* definitions in files */

/* The definition that runs began with, by its hash: in force still, or as the store has it. GIVES a reference; NULL
 * where it cannot be used any more. */
struct stage *sources_find_stage(void *server, const char *hash, struct fault *fault);

#endif
