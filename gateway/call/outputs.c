/* Making outputs of a reply.
 *
 * An output that cannot be made is null: the work behind it was done, so it is no reason to fail the run. */
#include "call/outputs.h"

const struct json *outputs_value(const struct stage_output *output, struct arena *arena,
                                 const struct json *const *roots, struct fault *fault) {
    struct jsonpath_nodes nodes;
    if (!output->path) return template_value(output->expression, roots, arena, fault);
    if (!jsonpath_find(output->path, roots[ROOT_BODY], arena, &nodes, fault)) return NULL;
    return nodes.count ? nodes.items[0] : json_new_null(arena);
}

static const struct json *output_of(const struct stage_output *output, struct arena *arena,
                                    const struct json *const *roots) {
    if (!output->path) return template_value(output->expression, roots, arena, NULL);
    if (jsonpath_singular(output->path)) return jsonpath_first(output->path, roots[ROOT_BODY], arena);
    struct jsonpath_nodes nodes;
    if (!jsonpath_find(output->path, roots[ROOT_BODY], arena, &nodes, NULL)) return NULL;
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < nodes.count; i++) json_push(list, nodes.items[i]);
    return list;
}

struct json *outputs_make(struct arena *arena, const struct stage_output *outputs, size_t count,
                          const struct json *const *roots) {
    struct json *made = json_new_object(arena);
    for (size_t i = 0; i < count; i++) json_set(made, outputs[i].name, output_of(&outputs[i], arena, roots));
    return made;
}
