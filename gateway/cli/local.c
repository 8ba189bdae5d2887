/* Settings and secrets for the commands that compile definitions without a gateway: check and export.
 *
 * They see what `serve` would see with the same settings, so a definition is the same for all of them. Where secrets
 * are not at hand, as on a build machine, --any-secret takes every one as known. */
#include "cli/local.h"

#include <unistd.h>

#include "back/secrets.h"
#include "cli/reach.h"
#include "cli/screen.h"

bool local_settings(struct arena *arena, const char *command, const struct local_options *given,
                    struct settings *ret_settings) {
    const char *const values[][2] = {{"--stages", given->stages},
                                     {"--templates", given->templates},
                                     {"--secrets", given->secrets},
                                     {"--public-url", given->public_url}};
    enum { COUNT = sizeof values / sizeof *values };
    const char *flags[2 * COUNT];
    struct settings_input input = {
        .config = given->config, .flags = flags, .environment = (const char *const *)environ};
    struct faults faults;
    for (size_t i = 0; i < COUNT; i++) {
        if (!values[i][1]) continue;
        flags[input.flag_count++] = values[i][0];
        flags[input.flag_count++] = values[i][1];
    }
    faults_init(&faults);
    bool ok = settings_load(arena, &input, ret_settings, &faults);
    for (size_t i = 0; i < faults.count; i++) screen_fault(command, &faults.items[i]);
    faults_fini(&faults);
    return ok;
}

bool local_context(const struct settings *settings, const struct local_options *given,
                   struct stage_context *ret_context, struct fault *fault) {
    *ret_context = (struct stage_context){.templates = settings->templates,
                                          .no_callbacks = !reach_from_upstreams(settings)};
    if (given->any_secret) return true;
    ret_context->secret_known = secrets_known;
    return secrets_load(settings->secrets[0] ? settings->secrets : NULL, fault);
}
