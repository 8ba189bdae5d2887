package stagedoor.orca.standin;

import com.jayway.jsonpath.JsonPath;
import com.jayway.jsonpath.JsonPathException;
import com.netflix.spinnaker.orca.api.pipeline.OverridableTimeoutRetryableTask;
import com.netflix.spinnaker.orca.api.pipeline.TaskResult;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.springframework.web.client.HttpStatusCodeException;
import org.springframework.web.client.RestClientException;

/** The polls: an answer has a status and a progress, both strings; 429 and 5xx are waited out, all else is an end. */
class MonitorWebhookTask implements OverridableTimeoutRetryableTask {

  private final Webhooks webhooks;

  MonitorWebhookTask(Webhooks webhooks) {
    this.webhooks = webhooks;
  }

  @Override
  public TaskResult execute(StageExecution stage) {
    Map<String, Object> settings = stage.getContext();
    Map<String, Object> monitor = new HashMap<>();
    ExecutionStatus status;
    try {
      Object body = webhooks.send(stage, "GET", (String) settings.get("statusEndpoint"), null).getBody();
      monitor.put("body", body);
      String word = JsonPath.read(body, (String) settings.get("statusJsonPath"));
      String progress = JsonPath.read(body, (String) settings.get("progressJsonPath"));
      monitor.put("progressMessage", progress);
      status = meaning(settings, word);
    } catch (HttpStatusCodeException refusal) {
      int code = refusal.getRawStatusCode();
      monitor.put("error", refusal.toString());
      status = code == 429 || code >= 500 ? ExecutionStatus.RUNNING : ExecutionStatus.TERMINAL;
    } catch (RestClientException | JsonPathException | ClassCastException end) {
      monitor.put("error", end.toString());
      status = ExecutionStatus.TERMINAL;
    }
    Map<String, Object> told = new HashMap<>(Webhooks.map(settings.get("webhook")));
    told.put("monitor", monitor);
    return TaskResult.builder(status).context(Map.of("webhook", told)).build();
  }

  /** The export gives one word for each end. */
  private static ExecutionStatus meaning(Map<String, Object> settings, String word) {
    if (word.equals(settings.get("successStatuses"))) {
      return ExecutionStatus.SUCCEEDED;
    }
    if (word.equals(settings.get("canceledStatuses"))) {
      return ExecutionStatus.CANCELED;
    }
    return word.equals(settings.get("terminalStatuses")) ? ExecutionStatus.TERMINAL : ExecutionStatus.RUNNING;
  }

  @Override
  public TaskResult onCancelWithResult(StageExecution stage) {
    webhooks.cancel(stage);
    return null;
  }

  @Override
  public long getBackoffPeriod() {
    return TimeUnit.SECONDS.toMillis(1);
  }

  @Override
  public long getTimeout() {
    return TimeUnit.HOURS.toMillis(1);
  }
}
