package stagedoor.orca;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionType;
import com.netflix.spinnaker.orca.api.pipeline.models.PipelineExecution;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import com.netflix.spinnaker.orca.pipeline.persistence.ExecutionNotFoundException;
import com.netflix.spinnaker.orca.pipeline.persistence.ExecutionRepository;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Orca's executions, kept as JSON as its SQL store keeps them: an execution without its stages, and each stage for
 * itself. What a handler changed and did not store is gone with its message, as it is in orca. Only what the handlers
 * of one pipeline call is here; any other call of the interface fails by name.
 */
public final class ExecutionStore {

  private static final class Row {
    String body;
    final Map<String, String> stages = new LinkedHashMap<>();
  }

  private final ObjectMapper mapper;
  private final Map<String, Row> rows = new HashMap<>();

  ExecutionStore(ObjectMapper mapper) {
    this.mapper = mapper;
  }

  /** This store behind orca's interface. */
  ExecutionRepository repository() {
    Class<?>[] interfaces = {ExecutionRepository.class};
    return (ExecutionRepository)
        Proxy.newProxyInstance(
            getClass().getClassLoader(),
            interfaces,
            (proxy, method, arguments) -> {
              try {
                return ExecutionStore.class
                    .getMethod(method.getName(), method.getParameterTypes())
                    .invoke(this, arguments);
              } catch (NoSuchMethodException missing) {
                throw new UnsupportedOperationException(method.toString());
              } catch (InvocationTargetException failure) {
                throw failure.getCause();
              }
            });
  }

  public void store(PipelineExecution execution) {
    Row row = rows.computeIfAbsent(execution.getId(), id -> new Row());
    storeBody(execution, row);
    execution.getStages().forEach(this::storeStage);
  }

  public void storeStage(StageExecution stage) {
    rows.get(stage.getExecution().getId()).stages.put(stage.getId(), write(stage));
  }

  public void updateStageContext(StageExecution stage) {
    storeStage(stage);
  }

  public void addStage(StageExecution stage) {
    storeStage(stage);
  }

  public void removeStage(PipelineExecution execution, String stageId) {
    rows.get(execution.getId()).stages.remove(stageId);
  }

  public void updateStatus(PipelineExecution execution) {
    updateStatus(execution.getType(), execution.getId(), execution.getStatus());
  }

  public void updateStatus(ExecutionType type, String id, ExecutionStatus status) {
    change(
        id,
        execution -> {
          execution.setStatus(status);
          if (status == ExecutionStatus.RUNNING) {
            execution.setCanceled(false);
          }
        });
  }

  public void cancel(ExecutionType type, String id, String user, String reason) {
    change(
        id,
        execution -> {
          execution.setCanceled(true);
          execution.setCanceledBy(user);
          execution.setCancellationReason(reason);
        });
  }

  public boolean isCanceled(ExecutionType type, String id) {
    return retrieve(type, id).isCanceled();
  }

  public PipelineExecution retrieve(ExecutionType type, String id) {
    Row row = rows.get(id);
    if (row == null) {
      throw new ExecutionNotFoundException("no execution " + id);
    }
    PipelineExecution execution = read(row.body, PipelineExecution.class);
    for (String body : row.stages.values()) {
      StageExecution stage = read(body, StageExecution.class);
      stage.setExecution(execution);
      execution.getStages().add(stage);
    }
    return execution;
  }

  /** The execution as it is stored. */
  ObjectNode stored(String id) {
    return mapper.valueToTree(retrieve(ExecutionType.PIPELINE, id));
  }

  private void change(String id, Consumer<PipelineExecution> change) {
    PipelineExecution execution = retrieve(ExecutionType.PIPELINE, id);
    change.accept(execution);
    storeBody(execution, rows.get(id));
  }

  private void storeBody(PipelineExecution execution, Row row) {
    ObjectNode body = mapper.valueToTree(execution);
    body.remove("stages");
    row.body = body.toString();
  }

  private String write(Object value) {
    try {
      return mapper.writeValueAsString(value);
    } catch (JsonProcessingException error) {
      throw new IllegalStateException(error);
    }
  }

  private <T> T read(String text, Class<T> type) {
    try {
      return mapper.readValue(text, type);
    } catch (JsonProcessingException error) {
      throw new IllegalStateException(error);
    }
  }
}
