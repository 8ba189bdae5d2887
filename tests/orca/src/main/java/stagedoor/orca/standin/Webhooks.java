package stagedoor.orca.standin;

import com.netflix.spinnaker.fiat.shared.FiatService;
import com.netflix.spinnaker.okhttp.OkHttpClientConfigurationProperties;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import com.netflix.spinnaker.orca.config.UserConfiguredUrlRestrictions;
import java.net.URI;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.ResolvableType;
import org.springframework.core.env.Environment;
import org.springframework.http.HttpEntity;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpMethod;
import org.springframework.http.ResponseEntity;
import org.springframework.http.client.OkHttp3ClientHttpRequestFactory;
import org.springframework.web.client.RestClientException;
import org.springframework.web.client.RestTemplate;

/**
 * Takes the place of orca-webhook where that is not on the class path, so that the tests of its stage run all the
 * same: under orca's own queue, expressions and URL rules, but by our own reading of what its two tasks do with an
 * answer. What counts in the end is a round with the real module.
 *
 * <p>Here: the preconfigured list, and the requests (URL rules, Spring's RestTemplate over OkHttp).
 */
@Configuration
public class Webhooks {

  private final UserConfiguredUrlRestrictions restrictions;
  private final RestTemplate http;
  private final List<Map<String, Object>> preconfigured = new ArrayList<>();

  Webhooks(
      Environment environment,
      UserConfiguredUrlRestrictions restrictions,
      OkHttpClientConfigurationProperties timeouts) {
    this.restrictions = restrictions;
    OkHttpClient client =
        new OkHttpClient.Builder()
            .connectTimeout(timeouts.getConnectTimeoutMs(), TimeUnit.MILLISECONDS)
            .readTimeout(timeouts.getReadTimeoutMs(), TimeUnit.MILLISECONDS)
            .build();
    http = new RestTemplate(new OkHttp3ClientHttpRequestFactory(client));
    Bindable<List<Map<String, Object>>> form =
        Bindable.of(
            ResolvableType.forClassWithGenerics(
                List.class, ResolvableType.forClassWithGenerics(Map.class, String.class, Object.class)));
    Binder.get(environment)
        .bind("webhook.preconfigured", form)
        .orElse(List.of())
        .forEach(entry -> preconfigured.add(map(withLists(entry))));
  }

  @Bean
  PreconfiguredWebhookStage preconfiguredWebhookStage(FiatService fiat) {
    return new PreconfiguredWebhookStage(this, fiat);
  }

  @Bean
  CreateWebhookTask createWebhookTask() {
    return new CreateWebhookTask(this);
  }

  @Bean
  MonitorWebhookTask monitorWebhookTask() {
    return new MonitorWebhookTask(this);
  }

  Map<String, Object> entry(String type) {
    return preconfigured.stream()
        .filter(entry -> type.equals(entry.get("type")) && !Boolean.FALSE.equals(entry.get("enabled")))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("Could not find a stage named '" + type + "'"));
  }

  /** Sends one request of a stage; an address that the rules refuse throws before anything is sent. */
  ResponseEntity<Object> send(StageExecution stage, String method, String url, Object payload) {
    URI allowed = restrictions.validateURI(url);
    HttpHeaders headers = new HttpHeaders();
    map(stage.getContext().getOrDefault("customHeaders", Map.of()))
        .forEach((name, values) -> ((List<?>) values).forEach(value -> headers.add(name, (String) value)));
    return http.exchange(allowed, HttpMethod.valueOf(method), new HttpEntity<>(payload, headers), Object.class);
  }

  /** Best effort, once, and whatever comes back is nobody's business. */
  void cancel(StageExecution stage) {
    Map<String, Object> settings = stage.getContext();
    String method = (String) settings.get("cancelMethod"), url = (String) settings.get("cancelEndpoint");
    try {
      send(stage, method, url, settings.get("cancelPayload"));
    } catch (RestClientException ignored) {
      // the answer, or the lack of one, changes nothing
    }
  }

  @SuppressWarnings("unchecked")
  static Map<String, Object> map(Object value) {
    return (Map<String, Object>) value;
  }

  /** Spring binds lists below a Map as maps from "0" on. */
  private static Object withLists(Object value) {
    if (!(value instanceof Map<?, ?> members)) {
      return value;
    }
    if (members.containsKey("0")) {
      return new ArrayList<>(members.values());
    }
    Map<String, Object> made = new HashMap<>();
    members.forEach((name, member) -> made.put((String) name, withLists(member)));
    return made;
  }
}
