package stagedoor.orca;

import com.netflix.spinnaker.q.Message;
import com.netflix.spinnaker.q.Queue;
import java.time.Duration;
import java.time.temporal.TemporalAmount;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;
import kotlin.Unit;
import kotlin.jvm.functions.Function0;
import kotlin.jvm.functions.Function2;

/**
 * Orca's queue, worked off by hand: messages come in the order in which they are due, and none is waited for. How long
 * orca would have waited stands beside each.
 */
final class MessageQueue implements Queue {

  /** `delay` is what the sender asked for; `due` and `number` give the order. */
  record Entry(Message message, Duration delay, long due, long number) {}

  private final AdjustableClock clock;
  private final PriorityQueue<Entry> entries =
      new PriorityQueue<>(Comparator.comparingLong(Entry::due).thenComparingLong(Entry::number));
  private long pushed;

  MessageQueue(AdjustableClock clock) {
    this.clock = clock;
  }

  /** The next message, taken off, or null. */
  Entry take() {
    return entries.poll();
  }

  @Override
  public void push(Message message, TemporalAmount delay) {
    Duration wait = Duration.from(delay);
    entries.add(new Entry(message, wait, clock.millis() + wait.toMillis(), pushed++));
  }

  @Override
  public void push(Message message) {
    push(message, Duration.ZERO);
  }

  @Override
  public void reschedule(Message message, TemporalAmount delay) {
    if (entries.removeIf(entry -> entry.message().equals(message))) {
      push(message, delay);
    }
  }

  @Override
  public void reschedule(Message message) {
    reschedule(message, Duration.ZERO);
  }

  @Override
  public void ensure(Message message, TemporalAmount delay) {
    if (entries.stream().noneMatch(entry -> entry.message().equals(message))) {
      push(message, delay);
    }
  }

  @Override
  public void clear() {
    entries.clear();
  }

  @Override
  public TemporalAmount getAckTimeout() {
    return Duration.ofMinutes(1);
  }

  @Override
  public List<Function2<Queue, Message, Unit>> getDeadMessageHandlers() {
    return List.of();
  }

  @Override
  public boolean getCanPollMany() {
    return false;
  }

  // Only orca's own executor polls and retries; here the messages are taken one by one.

  @Override
  public void poll(Function2<? super Message, ? super Function0<Unit>, Unit> callback) {
    throw new UnsupportedOperationException("poll");
  }

  @Override
  public void poll(int maxMessages, Function2<? super Message, ? super Function0<Unit>, Unit> callback) {
    throw new UnsupportedOperationException("poll");
  }

  @Override
  public void retry() {
    throw new UnsupportedOperationException("retry");
  }
}
