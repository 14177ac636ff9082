DROP INDEX patients_birthday;
DROP TABLE devices, notification_preferences, closed_channels, channel_pace, deliveries,
    notifications;
