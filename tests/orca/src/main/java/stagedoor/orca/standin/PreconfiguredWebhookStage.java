package stagedoor.orca.standin;

import com.netflix.spinnaker.fiat.shared.FiatService;
import com.netflix.spinnaker.orca.api.pipeline.graph.StageDefinitionBuilder;
import com.netflix.spinnaker.orca.api.pipeline.graph.StageGraphBuilder;
import com.netflix.spinnaker.orca.api.pipeline.graph.TaskNode;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import com.netflix.spinnaker.security.AuthenticatedRequest;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The stage: what the configuration sets beats what the pipeline says; a failed stage is canceled. */
class PreconfiguredWebhookStage implements StageDefinitionBuilder {

  /** Of the editor only, or of the list itself. */
  private static final List<String> NOT_OF_THE_STAGE =
      List.of("type", "label", "description", "enabled", "parameters", "permissions");

  private final Webhooks webhooks;
  private final FiatService fiat;

  PreconfiguredWebhookStage(Webhooks webhooks, FiatService fiat) {
    this.webhooks = webhooks;
    this.fiat = fiat;
  }

  @Override
  public String getType() {
    return "preconfiguredWebhook";
  }

  @Override
  public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
    Map<String, Object> settings = new HashMap<>(webhooks.entry(stage.getType()));
    Object roles = Webhooks.map(settings.getOrDefault("permissions", Map.of())).get("WRITE");
    if (roles != null && !holdsOne((List<?>) roles)) {
      throw new IllegalStateException("not allowed to execute stage named '" + stage.getType() + "'");
    }
    NOT_OF_THE_STAGE.forEach(settings::remove);
    stage.getContext().putAll(settings);
    builder.withTask("createWebhook", CreateWebhookTask.class);
    builder.withTask("monitorWebhook", MonitorWebhookTask.class);
  }

  private boolean holdsOne(List<?> wanted) {
    String user = AuthenticatedRequest.getSpinnakerUser().orElse("anonymous");
    return fiat.getUserPermission(user).getRoles().stream()
        .anyMatch(role -> wanted.stream().anyMatch(one -> role.getName().contains((String) one)));
  }

  @Override
  public void onFailureStages(StageExecution stage, StageGraphBuilder graph) {
    webhooks.cancel(stage);
  }
}
