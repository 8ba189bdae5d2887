package stagedoor.orca;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.netflix.spinnaker.orca.ExecutionContext;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionType;
import com.netflix.spinnaker.orca.api.pipeline.models.PipelineExecution;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import com.netflix.spinnaker.orca.api.pipeline.models.Trigger;
import com.netflix.spinnaker.orca.config.UserConfiguredUrlRestrictions;
import com.netflix.spinnaker.orca.pipeline.model.PipelineExecutionImpl;
import com.netflix.spinnaker.orca.pipeline.model.StageExecutionImpl;
import com.netflix.spinnaker.orca.pipeline.util.ContextParameterProcessor;
import com.netflix.spinnaker.orca.q.CancelExecution;
import com.netflix.spinnaker.orca.q.RestartStage;
import com.netflix.spinnaker.orca.q.RunTask;
import com.netflix.spinnaker.orca.q.StartExecution;
import com.netflix.spinnaker.q.Message;
import com.netflix.spinnaker.q.MessageHandler;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.env.YamlPropertySourceLoader;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.core.env.PropertySource;
import org.springframework.core.io.FileSystemResource;
import stagedoor.orca.standin.Webhooks;

/**
 * One orca, as after a restart on a given orca.yml. Its queue is worked off message by message at the caller's word;
 * everything between a message and the request on the wire is orca's own.
 */
final class Orca implements AutoCloseable {

  private static final String WEBHOOKS = "com.netflix.spinnaker.orca.webhook.config.WebhookConfiguration";

  private final AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext();
  private final ObjectMapper mapper;
  private final MessageQueue queue;
  private final ExecutionStore store;
  private Message last;

  Orca(String yaml) throws IOException {
    List<PropertySource<?>> sources = new YamlPropertySourceLoader().load("orca", new FileSystemResource(yaml));
    sources.forEach(context.getEnvironment().getPropertySources()::addLast);
    context.register(OrcaBeans.class);
    context.register(webhooks());
    context.refresh();
    mapper = context.getBean("mapper", ObjectMapper.class);
    queue = context.getBean(MessageQueue.class);
    store = context.getBean(ExecutionStore.class);
  }

  /** Whether the webhook stage is orca's own, and not the stand-in. */
  static boolean hasWebhooks() {
    return webhooks() != Webhooks.class;
  }

  private static Class<?> webhooks() {
    try {
      return Class.forName(WEBHOOKS);
    } catch (ClassNotFoundException absent) {
      return Webhooks.class;
    }
  }

  @Override
  public void close() {
    context.close();
  }

  /** What Spring binds under a name of the YAML, placeholders resolved, as maps and lists. */
  JsonNode bound(String name) {
    Bindable<Map<String, Object>> form = Bindable.mapOf(String.class, Object.class);
    return mapper.valueToTree(Binder.get(context.getEnvironment()).bind(name, form).orElse(Map.of()));
  }

  /** Puts a pipeline on the queue; gives its execution's id. */
  String start(JsonNode pipeline) {
    PipelineExecution execution =
        new PipelineExecutionImpl(ExecutionType.PIPELINE, pipeline.get("application").asText());
    execution.setName(pipeline.get("name").asText());
    execution.setTrigger(mapper.convertValue(pipeline.get("trigger"), Trigger.class));
    execution.setAuthentication(
        new PipelineExecution.AuthenticationDetails(pipeline.at("/trigger/user").asText()));
    for (JsonNode node : pipeline.get("stages")) {
      Map<String, Object> settings = mapper.convertValue(node, new TypeReference<>() {});
      String type = (String) settings.remove("type");
      String name = (String) settings.remove("name");
      execution.getStages().add(new StageExecutionImpl(execution, type, name, settings));
    }
    store.store(execution);
    queue.push(new StartExecution(execution));
    return execution.getId();
  }

  void cancel(String id, String user) {
    queue.push(new CancelExecution(retrieve(id), user, "by a test"));
  }

  void restart(String id, String stage, String user) {
    queue.push(new RestartStage(retrieve(id), retrieve(id).stageByRef(stage).getId(), user));
  }

  /** Handles the next message; tells what it was, or gives null where there is none. */
  ObjectNode step() {
    MessageQueue.Entry entry = queue.take();
    if (entry == null) {
      return null;
    }
    last = entry.message();
    handle(last);
    ObjectNode told = mapper.createObjectNode();
    told.put("message", last.getClass().getSimpleName());
    told.put("delay_ms", entry.delay().toMillis());
    if (last instanceof RunTask task) {
      told.put("task", task.getTaskType().getSimpleName());
    }
    return told;
  }

  /** The last message comes a second time, as a queue that delivers at least once may do. */
  void redeliver() {
    queue.push(last);
  }

  void advance(Duration by) {
    context.getBean(AdjustableClock.class).advance(by);
  }

  ObjectNode execution(String id) {
    return store.stored(id);
  }

  /** A value as it is evaluated when a task of the stage is run. */
  JsonNode evaluate(String id, String ref, JsonNode value) {
    ContextParameterProcessor processor = context.getBean(ContextParameterProcessor.class);
    StageExecution stage = retrieve(id).stageByRef(ref);
    Map<String, Object> source = Map.of("value", mapper.convertValue(value, Object.class));
    ExecutionContext.set(contextOf(stage)); // where #currentStage() looks
    try {
      return mapper.valueToTree(processor.process(source, processor.buildExecutionContext(stage), true));
    } finally {
      ExecutionContext.clear();
    }
  }

  private static ExecutionContext contextOf(StageExecution stage) {
    PipelineExecution execution = stage.getExecution();
    String user = execution.getAuthentication().getUser();
    return new ExecutionContext(
        execution.getApplication(),
        user,
        "pipeline",
        execution.getId(),
        stage.getId(),
        execution.getOrigin(),
        null,
        null,
        stage.getStartTime());
  }

  /** Throws where orca's rules refuse the URL. */
  void checkUrl(String url) {
    context.getBean(UserConfiguredUrlRestrictions.class).validateURI(url);
  }

  @SuppressWarnings("unchecked")
  private void handle(Message message) {
    for (MessageHandler<?> handler : context.getBeansOfType(MessageHandler.class).values()) {
      if (handler.getMessageType() == message.getClass()) {
        ((MessageHandler<Message>) handler).handle(message);
        return;
      }
    }
    throw new IllegalStateException("no handler for " + message);
  }

  private PipelineExecution retrieve(String id) {
    return store.retrieve(ExecutionType.PIPELINE, id);
  }
}
