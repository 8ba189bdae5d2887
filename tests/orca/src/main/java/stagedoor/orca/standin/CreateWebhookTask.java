package stagedoor.orca.standin;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.jayway.jsonpath.JsonPath;
import com.netflix.spinnaker.orca.api.pipeline.RetryableTask;
import com.netflix.spinnaker.orca.api.pipeline.TaskResult;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import com.netflix.spinnaker.orca.jackson.OrcaObjectMapper;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.springframework.http.ResponseEntity;
import org.springframework.web.client.HttpStatusCodeException;
import org.springframework.web.client.RestClientException;

/** The start: sent again after 429 and any 5xx that is not to fail fast; every other trouble ends the stage. */
class CreateWebhookTask implements RetryableTask {

  private final Webhooks webhooks;

  CreateWebhookTask(Webhooks webhooks) {
    this.webhooks = webhooks;
  }

  @Override
  public TaskResult execute(StageExecution stage) {
    Map<String, Object> settings = stage.getContext();
    Map<String, Object> told = new HashMap<>();
    ExecutionStatus status;
    try {
      ResponseEntity<Object> answer =
          webhooks.send(stage, (String) settings.get("method"), (String) settings.get("url"), settings.get("payload"));
      note(told, answer.getStatusCodeValue(), answer.getBody());
      String statusUrl = JsonPath.read(answer.getBody(), (String) settings.get("statusUrlJsonPath"));
      told.put("statusEndpoint", statusUrl);
      settings.put("statusEndpoint", statusUrl);
      status = ExecutionStatus.SUCCEEDED;
    } catch (HttpStatusCodeException refusal) {
      int code = refusal.getRawStatusCode();
      note(told, code, bodyOf(refusal.getResponseBodyAsString()));
      told.put("error", "status code " + code);
      boolean hopeless = ((List<?>) settings.get("failFastStatusCodes")).contains(code);
      status = !hopeless && (code == 429 || code >= 500) ? ExecutionStatus.RUNNING : ExecutionStatus.TERMINAL;
    } catch (RestClientException lost) {
      told.put("error", lost.toString());
      status = ExecutionStatus.TERMINAL;
    }
    return TaskResult.builder(status).context(Map.of("webhook", told)).build();
  }

  private static void note(Map<String, Object> told, int code, Object body) {
    told.put("statusCodeValue", code);
    told.put("body", body);
  }

  private static Object bodyOf(String text) {
    try {
      return text.startsWith("{") ? OrcaObjectMapper.getInstance().readValue(text, Map.class) : text;
    } catch (JsonProcessingException broken) {
      return text;
    }
  }

  @Override
  public long getBackoffPeriod() {
    return TimeUnit.SECONDS.toMillis(10);
  }

  @Override
  public long getTimeout() {
    return TimeUnit.MINUTES.toMillis(5);
  }
}
