/* `stagedoor doctor`: looks for what is wrong, and says how to mend it.
 *
 * On the gateway's machine it reads what serve reads; anywhere it asks the gateway that runs. `doctor orca` looks with
 * orca's eyes: at the URL that orca is given, which is public_url, or what the gateway's links begin with. It ends with
 * what to put into orca.yml. Nothing is changed anywhere, but for two runs of the self-test. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "back/secrets.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/doctor.h"
#include "cli/reach.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "orca/yaml_write.h"

struct doctor_options {
    struct client_options client;
    const char *config, *orca_yml;
    bool json;
};

static const struct args_option options[] = {
    {'c', "config", ARGS_TEXT, "FILE", offsetof(struct doctor_options, config),
     "the gateway's configuration (default: stagedoor.conf, where it exists)", 0, 0},
    {0, "orca-yml", ARGS_TEXT, "FILE", offsetof(struct doctor_options, orca_yml),
     "what orca is told already: its orca.yml or orca-local.yml", 0, 0},
    {0, "json", ARGS_FLAG, NULL, offsetof(struct doctor_options, json), "print what was found as JSON", 0, 0},
    CLIENT_OPTIONS(struct doctor_options),
};

static const struct args_command command = {
    "doctor",
    "[orca]",
    "Looks for what is wrong with a gateway, one line a check, and says how to mend it.\n\n"
    "Without --url it is run where the gateway runs, and looks at its configuration, definitions,\n"
    "secrets and store as well. orca adds what Spinnaker's orca would make of the gateway's URL: its\n"
    "rules for URLs, the name, TLS. It ends with what to put into orca.yml.\n\n"
    "exit status: 0 nothing failed, 1 something did, 2 usage\n",
    options,
    sizeof options / sizeof *options,
    0,
    1};

/* ---- where ---- */

static const char *named_url(const struct doctor *d) {
    const char *set = getenv("STAGEDOOR_URL");
    return d->client.url ? d->client.url : set && set[0] ? set : NULL;
}

/* Who names a gateway and no configuration means one that may be anywhere. */
static bool looks_at_files(const struct doctor *d) {
    if (d->config) return true;
    return !d->client.url && (!named_url(d) || access("stagedoor.conf", F_OK) == 0);
}

static const char *without_slash(struct arena *arena, const char *url) {
    size_t n = strlen(url);
    while (n && url[n - 1] == '/') n--;
    return arena_strndup(arena, url, n);
}

/* A certificate is for the public name, and seldom for an address of this machine. */
static void find_url(struct doctor *d) {
    const char *named = named_url(d);
    struct buf here;
    if (named) d->url = without_slash(d->arena, named);
    if (named || !d->settings) return;
    buf_init(&here, 4096);
    bool found = reach_here(d->settings, &here), tls = text_starts(buf_text(&here), "https:");
    if (found && tls && d->settings->public_url[0]) d->url = d->settings->public_url;
    else if (found) d->url = arena_strdup(d->arena, buf_cstr(&here));
    buf_fini(&here);
}

/* ---- looking ---- */

static void look(struct doctor *d) {
    if (looks_at_files(d)) doctor_local(d);
    find_url(d);
    if (d->url && doctor_reach(d, d->client.url != NULL)) doctor_ask(d, d->url);
}

/* The URL that orca is given: that of the configuration, else what the gateway's own links begin with. */
static const char *public_url(const struct doctor *d) {
    if (d->settings && d->settings->public_url[0]) return d->settings->public_url;
    return d->base ? d->base : d->url;
}

static void look_as_orca(struct doctor *d) {
    if (looks_at_files(d)) doctor_local(d);
    find_url(d);
    if (!d->url) return;
    bool runs = doctor_reach(d, true);
    if (d->settings && !d->settings->public_url[0])
        findings_add(&d->findings, FINDINGS_WARNING, "public",
                     "public_url = \"https://…\" in stagedoor.conf, as orca is to call the gateway",
                     "public_url is not set: links begin with whatever name a caller used");
    if (runs) doctor_ask(d, d->url);
    const char *url = public_url(d);
    bool other = strcmp(url, d->url) != 0;
    if (d->client.url && other && !d->settings)
        findings_add(&d->findings, FINDINGS_OK, "links", NULL,
                     "begin with %s: that is what orca polls, and what is looked at from here on", url);
    if (doctor_orca(d, url) && other && d->settings) doctor_ask(d, url);
}

/* ---- telling ---- */

static void tell(const struct doctor *d, const struct doctor_options *given) {
    struct buf yaml;
    buf_init(&yaml, 1024 * 1024);
    if (json_size(d->orca_yml)) yaml_write(&yaml, d->orca_yml);
    if (given->json) {
        struct json *all = json_new_object(d->arena);
        json_set(all, "ok", json_new_bool(d->arena, !findings_failed(&d->findings)));
        json_set(all, "checks", findings_json(&d->findings));
        json_set(all, "orcaYml", yaml.len ? json_new_text(d->arena, buf_text(&yaml)) : json_new_null(d->arena));
        report_print_json(stdout, all);
    } else {
        findings_print(&d->findings);
        if (yaml.len) printf("\nFor orca.yml (or orca-local.yml), then restart orca:\n\n%s", buf_cstr(&yaml));
    }
    buf_fini(&yaml);
}

int command_doctor(int argc, char **argv) {
    struct doctor_options given = {0};
    struct args_words words;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    if (words.count && strcmp(words.items[0], "orca") != 0)
        return args_wrong("doctor", "it knows of \"orca\" only, not of \"%s\"", words.items[0]);
    if (given.orca_yml && !words.count) return args_wrong("doctor", "--orca-yml is for doctor orca");
    struct doctor d = {.arena = arena_new(), .config = given.config, .client = given.client};
    findings_init(&d.findings, d.arena);
    d.orca_yml = json_new_object(d.arena);
    d.orca_file = given.orca_yml;
    struct fault fault;
    if (doctor_read_orca(&d, &fault)) {
        if (words.count) look_as_orca(&d);
        else look(&d);
        tell(&d, &given);
        status = findings_failed(&d.findings) ? EXIT_FAILED : EXIT_DONE;
    } else {
        screen_fault("doctor", &fault);
        status = EXIT_USAGE;
    }
    secrets_unload();
    arena_free(d.arena);
    return status;
}
