import com.sun.mail.pop3.POP3Folder;
import jakarta.mail.*;
import java.util.*;

public class Watch {
    public static void main(String[] args) throws Exception {
        String[] address = System.getenv("ADDRESS").split(":");
        Properties settings = new Properties();
        settings.put("mail.pop3s.timeout", "60000");
        settings.put("mail.pop3s.ssl.checkserveridentity", "true");
        Set<String> known = new HashSet<>();
        while (true) {
            Store store = Session.getInstance(settings).getStore("pop3s");
            store.connect(address[0], Integer.parseInt(address[1]), System.getenv("NAME"), System.getenv("PASSWORD"));
            POP3Folder inbox = (POP3Folder) store.getFolder("INBOX");
            inbox.open(Folder.READ_ONLY);
            int[] octets = inbox.getSizes();
            Message[] messages = inbox.getMessages();
            FetchProfile ids = new FetchProfile();
            ids.add(UIDFolder.FetchProfileItem.UID);
            inbox.fetch(messages, ids);
            for (Message m : messages) {
                if (known.add(inbox.getUID(m))) {
                    System.out.println("new " + octets[m.getMessageNumber() - 1] + " " + inbox.getUID(m));
                }
            }
            inbox.close(false);
            store.close();
            Thread.sleep(1000);
        }
    }
}
