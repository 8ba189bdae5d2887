package stagedoor.orca;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.netflix.spectator.api.NoopRegistry;
import com.netflix.spectator.api.Registry;
import com.netflix.spinnaker.fiat.model.UserPermission;
import com.netflix.spinnaker.fiat.model.resources.Role;
import com.netflix.spinnaker.fiat.shared.FiatService;
import com.netflix.spinnaker.kork.core.RetrySupport;
import com.netflix.spinnaker.kork.dynamicconfig.DynamicConfigService;
import com.netflix.spinnaker.okhttp.OkHttpClientConfigurationProperties;
import com.netflix.spinnaker.orca.DefaultStageResolver;
import com.netflix.spinnaker.orca.NoOpTaskImplementationResolver;
import com.netflix.spinnaker.orca.StageResolver;
import com.netflix.spinnaker.orca.TaskImplementationResolver;
import com.netflix.spinnaker.orca.TaskResolver;
import com.netflix.spinnaker.orca.api.pipeline.Task;
import com.netflix.spinnaker.orca.api.pipeline.graph.StageDefinitionBuilder;
import com.netflix.spinnaker.orca.config.UserConfiguredUrlRestrictions;
import com.netflix.spinnaker.orca.exceptions.DefaultExceptionHandler;
import com.netflix.spinnaker.orca.jackson.OrcaObjectMapper;
import com.netflix.spinnaker.orca.lock.LockConfig;
import com.netflix.spinnaker.orca.pipeline.DefaultStageDefinitionBuilderFactory;
import com.netflix.spinnaker.orca.pipeline.EvaluateVariablesStage;
import com.netflix.spinnaker.orca.pipeline.StageDefinitionBuilderFactory;
import com.netflix.spinnaker.orca.pipeline.persistence.ExecutionRepository;
import com.netflix.spinnaker.orca.pipeline.tasks.EvaluateVariablesTask;
import com.netflix.spinnaker.orca.pipeline.tasks.WaitTask;
import com.netflix.spinnaker.orca.pipeline.util.ContextParameterProcessor;
import com.netflix.spinnaker.orca.pipeline.util.StageNavigator;
import com.netflix.spinnaker.orca.q.handler.CancelExecutionHandler;
import com.netflix.spinnaker.orca.q.handler.CancelStageHandler;
import com.netflix.spinnaker.orca.q.handler.CompleteExecutionHandler;
import com.netflix.spinnaker.orca.q.handler.CompleteStageHandler;
import com.netflix.spinnaker.orca.q.handler.CompleteTaskHandler;
import com.netflix.spinnaker.orca.q.handler.RescheduleExecutionHandler;
import com.netflix.spinnaker.orca.q.handler.RestartStageHandler;
import com.netflix.spinnaker.orca.q.handler.RunTaskHandler;
import com.netflix.spinnaker.orca.q.handler.StartExecutionHandler;
import com.netflix.spinnaker.orca.q.handler.StartStageHandler;
import com.netflix.spinnaker.orca.q.handler.StartTaskHandler;
import com.netflix.spinnaker.orca.q.pending.PendingExecutionService;
import java.lang.reflect.Proxy;
import java.util.Collection;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.function.BiFunction;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.ApplicationEventPublisher;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;

/**
 * What orca's own configuration wires, as far as one pipeline needs it: the queue's handlers, the stages, the
 * expressions, the URL rules bound from the same YAML. Fiat, which is another service, is the one stub.
 */
@Configuration
@EnableConfigurationProperties
@Import({
  CancelExecutionHandler.class,
  CancelStageHandler.class,
  CompleteExecutionHandler.class,
  CompleteStageHandler.class,
  CompleteTaskHandler.class,
  RescheduleExecutionHandler.class,
  RestartStageHandler.class,
  RunTaskHandler.class,
  StartExecutionHandler.class,
  StartStageHandler.class,
  StartTaskHandler.class,
  StageNavigator.class,
  LockConfig.class,
  EvaluateVariablesStage.class,
  EvaluateVariablesTask.class,
  WaitTask.class,
})
class OrcaBeans {

  /** The roles of whoever starts a pipeline, as fiat would tell them. */
  static final String ROLE = "release-team";

  @Bean
  AdjustableClock clock() {
    return new AdjustableClock();
  }

  @Bean
  MessageQueue queue(AdjustableClock clock) {
    return new MessageQueue(clock);
  }

  @Bean(name = {"mapper", "objectMapper"})
  ObjectMapper mapper() {
    return OrcaObjectMapper.getInstance();
  }

  @Bean
  ExecutionStore executionStore(ObjectMapper mapper) {
    return new ExecutionStore(mapper);
  }

  @Bean
  ExecutionRepository executionRepository(ExecutionStore store) {
    return store.repository();
  }

  @Bean
  ContextParameterProcessor contextParameterProcessor() {
    return new ContextParameterProcessor();
  }

  @Bean
  @ConfigurationProperties("user-configured-url-restrictions")
  UserConfiguredUrlRestrictions.Builder urlRestrictionProperties() {
    return new UserConfiguredUrlRestrictions.Builder();
  }

  @Bean
  UserConfiguredUrlRestrictions urlRestrictions(UserConfiguredUrlRestrictions.Builder properties) {
    return properties.build();
  }

  @Bean
  @ConfigurationProperties("ok-http-client")
  OkHttpClientConfigurationProperties okHttpClientProperties() {
    return new OkHttpClientConfigurationProperties();
  }

  @Bean
  StageResolver stageResolver(ObjectProvider<Collection<StageDefinitionBuilder>> stages) {
    return new DefaultStageResolver(stages);
  }

  @Bean
  StageDefinitionBuilderFactory stageDefinitionBuilderFactory(StageResolver resolver) {
    return new DefaultStageDefinitionBuilderFactory(resolver);
  }

  @Bean
  TaskResolver taskResolver(ObjectProvider<Collection<Task>> tasks) {
    return new TaskResolver(tasks, true);
  }

  @Bean
  TaskImplementationResolver taskImplementationResolver() {
    return new NoOpTaskImplementationResolver();
  }

  @Bean
  DefaultExceptionHandler exceptionHandler() {
    return new DefaultExceptionHandler();
  }

  @Bean
  Registry registry() {
    return new NoopRegistry();
  }

  @Bean
  RetrySupport retrySupport() {
    return new RetrySupport();
  }

  @Bean
  DynamicConfigService dynamicConfigService() {
    return DynamicConfigService.NOOP;
  }

  @Bean
  ApplicationEventPublisher queueEventPublisher() {
    return event -> {};
  }

  @Bean
  Executor cancellableStageExecutor() {
    return Runnable::run;
  }

  /** No pipeline here waits for another run of itself. */
  @Bean
  PendingExecutionService pendingExecutionService() {
    return stub(PendingExecutionService.class, (call, arguments) -> null);
  }

  @Bean
  FiatService fiatService() {
    Role.View role = new Role.View();
    role.setName(ROLE);
    return stub(
        FiatService.class,
        (call, arguments) ->
            call.equals("getUserPermission")
                ? new UserPermission.View().setName((String) arguments[0]).setRoles(Set.of(role))
                : null);
  }

  /** An interface whose calls `answer` decides; null stands for a call that must not come. */
  private static <T> T stub(Class<T> type, BiFunction<String, Object[], Object> answer) {
    return type.cast(
        Proxy.newProxyInstance(
            type.getClassLoader(),
            new Class<?>[] {type},
            (proxy, method, arguments) -> {
              if (method.getDeclaringClass() == Object.class) {
                return method.invoke(answer, arguments);
              }
              Object result = answer.apply(method.getName(), arguments);
              if (result == null) {
                throw new UnsupportedOperationException(method.toString());
              }
              return result;
            }));
  }
}
