/* Writes the script.
 *
 * It needs a POSIX shell and curl, and nothing else: images with those two are everywhere, images with a JSON parser
 * are not. What it reads of an answer are texts at the top of a report, which never hold an unescaped quote, and whose
 * order is fixed. A start that got no answer is sent again by the same key. A job that is canceled cancels its run: the
 * shell itself does nothing but wait for one in the background, since it hears no signal while a program runs in the
 * foreground, and bash loses one that comes while it reads a $(…). The token goes to
 * curl by a pipe, and the parameters by a file, for others can read the arguments of a process. */
#include "cli/ci_script.h"

#include <string.h>

static const char part_one[] =
    "report=${STAGEDOOR_REPORT:-stagedoor.json}\n"
    "work=$(mktemp -d) || exit 2\n"
    "trap 'rm -rf \"$work\"' EXIT\n"
    "\n"
    "# A text as the inside of a JSON string.\n"
    "json() {\n"
    "  printf '%s' \"$1\" | tr -d '\\000-\\010\\013\\014\\016-\\037' |\n"
    "    sed -e 's/[\\\\\"]/\\\\&/g' -e \"s/$(printf '\\t')/\\\\\\\\t/g\" -e \"s/$(printf '\\r')/\\\\\\\\r/g\" |\n"
    "    awk 'NR > 1 { printf \"%s\", \"\\\\n\" } { printf \"%s\", $0 }'\n"
    "}\n"
    "\n"
    "# A parameter. One that is left empty is not sent: the definition's default holds.\n"
    "parameters=\n"
    "add() {\n"
    "  [ -n \"$2\" ] || return 0\n"
    "  parameters=\"$parameters${parameters:+,}\\\"$1\\\":\\\"$(json \"$2\")\\\"\"\n"
    "}\n"
    "\n"
    "# METHOD PATH [OPTION...]: $code is the status of the answer, $work/answer its body. Asks again for 5 minutes "
    "where\n"
    "# the gateway cannot be reached, or is busy.\n"
    "ask() {\n"
    "  method=$1 path=$2 tries=0\n"
    "  shift 2\n"
    "  while :; do\n"
    "    if [ -n \"${STAGEDOOR_TOKEN:-}\" ]; then\n"
    "      printf 'header = \"Authorization: Bearer %s\"\\n' \"$(json \"$STAGEDOOR_TOKEN\")\"\n"
    "    fi | curl -sS -K - -X \"$method\" -H 'Content-Type: application/json' --max-time 60 \\\n"
    "      -o \"$work/answer\" -w '%{http_code}' \"$@\" \"$gateway$path\" > \"$work/code\" &\n"
    "    echo $! > \"$work/curl\"\n"
    "    wait $!\n"
    "    code=$(cat \"$work/code\")\n"
    "    case $code in '' | 000 | 429 | 5[0-9][0-9]) ;; *) return 0 ;; esac\n"
    "    tries=$((tries + 1))\n"
    "    [ $tries -lt \"${STAGEDOOR_TRIES:-60}\" ] || return 1\n"
    "    sleep 5\n"
    "  done\n"
    "}\n"
    "\n"
    "# A text at the top of the report.\n"
    "member() {\n"
    "  rest=$(cat \"$work/answer\")\n"
    "  case $rest in *\"\\\"$1\\\":\\\"\"*) ;; *) return 0 ;; esac\n"
    "  rest=${rest#*\"\\\"$1\\\":\\\"\"}\n"
    "  printf '%s' \"${rest%%\\\"*}\"\n"
    "}\n"
    "\n"
    "# The run is canceled with its job, by its key: also where nobody has told us of it yet.\n"
    "stop() {\n"
    "  trap '' INT TERM HUP\n"
    "  { kill $!; wait $!; kill $(cat \"$work/curl\"); } 2> /dev/null\n"
    "  echo \"canceling $stage\" >&2\n"
    "  printf '{\"key\":\"%s\"}' \"$(json \"$key\")\" > \"$work/body\"\n"
    "  ask POST \"/stages/$stage/cancel\" -H 'Prefer: wait=5' --data-binary \"@$work/body\"\n"
    "  exit 3\n"
    "}\n"
    "\n"
    "follow() {\n";

static const char part_two[] =
    "  printf "
    "'{\"key\":\"%s\",\"parameters\":{%s},\"caller\":{\"user\":\"%s\",\"pipeline\":\"%s\",\"execution\":\"%s\"}}' \\\n"
    "    \"$(json \"$key\")\" \"$parameters\" \"$(json \"$user\")\" \"$(json \"$pipeline\")\" \"$(json "
    "\"$execution\")\" "
    "> \"$work/body\"\n"
    "  ask POST \"/stages/$stage\" --data-binary \"@$work/body\" || exit 4\n"
    "  case $code in 200 | 202) ;; *) cat \"$work/answer\" >&2; exit 2 ;; esac\n"
    "  id=$(member id) shown=\n"
    "  while :; do\n"
    "    cp \"$work/answer\" \"$report\"\n"
    "    status=$(member status) progress=$(member progress)\n"
    "    [ \"$progress\" = \"$shown\" ] || printf '%s %s\\n' \"$status\" \"$progress\"\n"
    "    shown=$progress\n"
    "    case $status in RUNNING | NOT_STARTED) ;; *) break ;; esac\n"
    "    ask GET \"/runs/$id\" -H 'Prefer: wait=30' || exit 4\n"
    "    [ \"$code\" = 200 ] || { cat \"$work/answer\" >&2; exit 4; }\n"
    "  done\n";

static const char part_three[] = "  case $status in SUCCEEDED) exit 0 ;; CANCELED) exit 3 ;; *) exit 1 ;; esac\n"
                                 "}\n"
                                 "\n"
                                 "# This shell does nothing but wait, so that it hears of a signal at once.\n"
                                 "trap stop INT TERM HUP\n"
                                 "follow &\n"
                                 "wait $!\n"
                                 "exit $?\n";

static const char *bare_variable(struct arena *arena, const char *name) {
    char *made = arena_printf(arena, "P_%s", name);
    for (char *s = made; *s; s++)
        if (*s == '-') *s = '_';
    return made;
}

/* "a-b" and "a_b" would be one. */
const char *ci_script_variable(struct arena *arena, const struct stage *stage, size_t param) {
    const char *name = bare_variable(arena, stage->params[param].name);
    for (size_t i = 0; i < param; i++)
        if (strcmp(bare_variable(arena, stage->params[i].name), name) == 0)
            return arena_printf(arena, "%s_%zu", name, param + 1);
    return name;
}

static void add_quoted(struct buf *out, const char *s) {
    buf_addc(out, '\'');
    for (; *s; s++)
        if (*s == '\'') buf_adds(out, "'\\''");
        else buf_addc(out, *s);
    buf_addc(out, '\'');
}

void ci_script_write(struct arena *arena, struct buf *out, const struct ci_script *script) {
    const struct stage *stage = script->stage;
    buf_adds(out, "set +ex # whatever the shell around it does\n"
                  "# Exit status: 0 succeeded, 1 failed, 2 refused, 3 canceled, 4 the gateway cannot be reached.\n"
                  "gateway=${STAGEDOOR_URL:-}\n"
                  "[ -n \"$gateway\" ] || gateway=");
    add_quoted(out, script->base_url);
    buf_adds(out, "\nstage=");
    add_quoted(out, stage->name);
    buf_addf(out, "\nkey=%s\nuser=%s pipeline=%s execution=%s\n", script->key, script->user ? script->user : "",
             script->pipeline ? script->pipeline : "", script->execution ? script->execution : "");
    buf_adds(out, part_one);
    for (size_t i = 0; i < stage->param_count; i++)
        buf_addf(out, "  add %s \"${%s:-}\"\n", stage->params[i].name, ci_script_variable(arena, stage, i));
    buf_adds(out, part_two);
    if (script->finish) buf_adds(out, script->finish);
    buf_adds(out, part_three);
}
